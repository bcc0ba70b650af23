"""The frame of what a test starts and must end, whatever happens."""

import contextlib


class Fixture(contextlib.AbstractContextManager):
    """Begun by its constructor; ended by `with`, or by close(), which each kind writes for itself and which is legal twice."""

    def __exit__(self, *_):
        self.close()

    def close(self):
        raise NotImplementedError

    @contextlib.contextmanager
    def beginning(self):
        """Around what a constructor starts: when it fails, nothing stays behind."""
        try:
            yield
        except BaseException:
            self.close()
            raise
