"""A stand-in for Stripe's API on a free loopback port, in a thread of the test.

    api = StripeApi()                                       # stripe_api_base=api.base
    api.answers["sub_1"] = 200, api_subscription("sub_1", "cus_1", "active")
    api.asked                                               # [(subscription, Authorization), …]
    api.shutdown(); api.server_close()
"""

import http.server
import json
import threading


class StripeApi(http.server.ThreadingHTTPServer):
    """A stand-in for Stripe's API: answers by id, and notes what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), StripeHandler)
        self.answers, self.asked, self.before = {}, [], {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}"


class StripeHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        subscription = self.path.rsplit("/", 1)[1]
        self.server.asked.append((subscription, self.headers["Authorization"]))
        self.server.before.get(subscription, lambda: None)()
        status, body = self.server.answers.get(subscription, (404, {"error": {"type": "invalid_request_error"}}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def api_subscription(subscription, customer, status):
    """As Stripe has it since 2025-03-31, with what we must not keep."""
    return {"id": subscription, "object": "subscription", "customer": {"id": customer, "email": "canary@example.com"},
            "status": status, "created": 1700000000, "cancel_at_period_end": True, "livemode": False,
            "default_payment_method": {"card": {"last4": "4242"}},
            "items": {"data": [{"current_period_end": 1800000000}, {"current_period_end": 1900000000}]}}
