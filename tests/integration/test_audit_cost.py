"""What a batch of audit-log costs the database must not depend on how long the ledger is."""

import contextlib

from postgres_fixture import PostgresCluster, wait_until

BATCHES, ROWS = 20, 500
PLACE = ("cluster", "watchpost.development.stripe", 0)


def write_batch(cursor, number):
    """One call of api.audit_write with events that were never seen before."""
    offsets = [number * ROWS + i for i in range(ROWS)]
    times = [1769000000000 + offset for offset in offsets]
    words = [["watchpost.stripe.other"] * ROWS, [f"evt_{offset:020d}" for offset in offsets], [None] * ROWS, [None] * ROWS,
             ["stripe"] * ROWS, ["livemode=false"] * ROWS]
    cursor.execute("select api.audit_write(%s, %s, %s, %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], "
                   "%s::text[], %s::text[], %s::text[], %s::text[])", (*PLACE, offsets, times, times, *words))
    return cursor.fetchall()


def test_second_deliveries_are_looked_up_not_searched_for():
    """A plan that reads the whole chain for every batch is quick in small tests and quadratic in production.

    How: batch after batch into a fresh database, whose planner knows nothing of the table yet; then PostgreSQL's own counters
    say how many rows and index entries were read. One look-up per row finds none, so next to nothing may be read."""
    with PostgresCluster(fsync=False, autovacuum="off") as cluster:
        cluster.migrate()
        with contextlib.closing(cluster.connect("watchpost_audit_log")) as connection, connection.cursor() as cursor:
            for number in range(BATCHES):
                assert write_batch(cursor, number) == []
            # A second delivery of one of the first events, far behind it: the look-up does find it.
            cursor.execute("select count(*) from (select api.audit_write(%s, %s, %s, array[1000000]::bigint[], array[0]::bigint[], "
                           "array[0]::bigint[], array['t'], array['evt_' || lpad('7', 20, '0')], array[null], array[null], "
                           "array[null], array['s'])) w", PLACE)
            assert cursor.fetchone() == (1,)
        written = f"select n_tup_ins = {BATCHES * ROWS + 1} from pg_stat_user_tables where relname = 'ledger'"
        wait_until(lambda: cluster.query(written) == [(True,)], "the counters")
        [(read,)] = cluster.query("select seq_tup_read + coalesce((select sum(i.idx_tup_read) from pg_stat_user_indexes i "
                                  "where i.relname = 'ledger'), 0) from pg_stat_user_tables where relname = 'ledger'")
        assert read < BATCHES * ROWS / 100, "rows read while writing"
