// Stripe's own example of each resource, for tests/integration/test_webhook.py: read from the module's embedded fixtures
// (MIT licence), never copied here. `go mod tidy` would drop it, as nothing is compiled.
module watchpost.systems/tests/stripe_mock

go 1.19

require github.com/stripe/stripe-mock v0.203.0
