"""A stand-in for Stripe's API on a free loopback port, in a thread of the test.

    api = StripeApi()                                       # stripe_api_base=api.base
    api.answers["sub_1"] = 200, api_subscription("sub_1", "cus_1", "active")
    api.asked                                               # [(subscription, Authorization), …]
    api.listed = [api_subscription(…), …]                   # what a list shows, in pages, newest first
    api.shutdown(); api.server_close()
"""

import http.server
import json
import threading
import urllib.parse


class StripeApi(http.server.ThreadingHTTPServer):
    """A stand-in for Stripe's API: answers by id, or with a page of its list, and notes what it was asked. `before` and `answers`
    know a page by the id that it starts after, "" for the first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), StripeHandler)
        self.answers, self.asked, self.before, self.listed = {}, [], {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def page(self, after, limit):
        ids = [subscription["id"] for subscription in self.listed]
        start = ids.index(after) + 1 if after else 0
        return {"object": "list", "url": "/v1/subscriptions", "has_more": len(ids) > start + limit,
                "data": self.listed[start:start + limit]}

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}"


class StripeHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        address = urllib.parse.urlsplit(self.path)
        wanted = dict(urllib.parse.parse_qsl(address.query))
        what = wanted.get("starting_after", "") if wanted else address.path.rsplit("/", 1)[1]
        self.server.asked.append((what, self.headers["Authorization"]))
        self.server.before.get(what, lambda: None)()
        otherwise = 404, {"error": {"type": "invalid_request_error"}}
        if wanted:
            assert wanted["status"] == "all"
            otherwise = 200, self.server.page(what, int(wanted["limit"]))
        status, body = self.server.answers.get(what, otherwise)
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
