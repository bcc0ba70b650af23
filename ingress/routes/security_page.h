/*
 * The security page, made from docs/security-page.txt by ingress/routes/security_page.py. Not edited by hand.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_SECURITY_PAGE_H
#define WATCHPOST_INGRESS_ROUTES_SECURITY_PAGE_H

/* What the Content-Security-Policy allows: this style sheet and nothing else. */
#define SECURITY_PAGE_STYLE_HASH "'sha256-+MI14tTfIWQxy5JqsZB7SFA0q/kplXmu3q7vMOXtEOU='"

/* clang-format off */
#define SECURITY_PAGE_HTML \
	"<!doctype html>\n" \
	"<html lang=\"en\">\n" \
	"<head>\n" \
	"<meta charset=\"utf-8\">\n" \
	"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n" \
	"<title>Security · Watchpost</title>\n" \
	"<meta name=\"description\" content=\"How Watchpost keeps what it is trusted with.\">\n" \
	"<style>:root{color-scheme:light dark;--ink:#1a1d21;--quiet:#565d66;--line:#d9dde2;--paper:#fdfdf" \
	"c;--mark:#0b6e4f}@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--quiet:#a4abb4;--line:#" \
	"33383f;--paper:#14171a;--mark:#5cc8a1}}*{box-sizing:border-box}body{margin:0;background:var(--pa" \
	"per);color:var(--ink);font:1.0625rem/1.6 system-ui,sans-serif}main,header,footer{max-width:44rem" \
	";margin:0 auto;padding:0 1.25rem}header{padding-top:3.5rem}main{padding-bottom:1rem}h1{font-size" \
	":2.25rem;line-height:1.15;margin:.25rem 0 1rem;letter-spacing:-.02em}h2{font-size:1.5rem;line-he" \
	"ight:1.25;margin:.25rem 0 1.25rem}h3{font-size:1.0625rem;margin:0 0 .25rem}section{border-top:1p" \
	"x solid var(--line);padding-top:2.25rem;margin-top:2.75rem}p{margin:0 0 1rem}.topic{color:var(--" \
	"mark);font-weight:600;margin:0}.practices{display:grid;gap:1.5rem 2rem;grid-template-columns:rep" \
	"eat(auto-fit,minmax(17rem,1fr));padding:0;margin:0;list-style:none}.practices p,.steps p{color:v" \
	"ar(--quiet);margin:0}.steps{padding:0;margin:0;list-style:none;counter-reset:step}.steps li{disp" \
	"lay:grid;grid-template-columns:3rem 1fr;margin-bottom:1.25rem;counter-increment:step}.steps li::" \
	"before{content:counter(step,decimal-leading-zero);color:var(--mark);font-variant-numeric:tabular" \
	"-nums;font-weight:600}code{font-family:ui-monospace,monospace;font-size:.95em}a{color:var(--mark" \
	")}a:focus-visible{outline:3px solid var(--mark);outline-offset:2px}.skip{position:absolute;left:" \
	"-99rem}.skip:focus{left:1rem;top:1rem}footer{padding-bottom:3.5rem}</style>\n" \
	"</head>\n" \
	"<body>\n" \
	"<a class=\"skip\" href=\"#main\">Skip to content</a>\n" \
	"<header>\n" \
	"<p class=\"topic\">Security</p>\n" \
	"<h1>The boring parts, written plainly.</h1>\n" \
	"<p>Watchpost decides whether your AI agent can spend money. That's a sensitive job. This page is" \
	" what we do to take it seriously.</p>\n" \
	"</header>\n" \
	"<main id=\"main\">\n" \
	"<section aria-labelledby=\"practices\">\n" \
	"<p class=\"topic\">Practices</p>\n" \
	"<h2 id=\"practices\">Eight things we treat as non-negotiable.</h2>\n" \
	"<ul class=\"practices\">\n" \
	"<li><h3>Encryption in transit</h3><p>Every request to watchpost.systems and the API uses TLS 1.2" \
	" or higher. HSTS is enabled on the apex domain.</p></li>\n" \
	"<li><h3>Encryption at rest</h3><p>Postgres data is encrypted at rest using AES-256. Backups are " \
	"encrypted with the same scheme and kept for 30 days.</p></li>\n" \
	"<li><h3>Hashed credentials</h3><p>Passwords are hashed with bcrypt at cost factor 10. We never s" \
	"tore, log, or display the plaintext, even briefly.</p></li>\n" \
	"<li><h3>Tokens stored as hashes</h3><p>Agent connection tokens are SHA-256 hashed in the databas" \
	"e. The raw token is shown to you exactly once, when it's issued. If the database leaked, no usab" \
	"le tokens leak with it.</p></li>\n" \
	"<li><h3>Least-privilege access</h3><p>Production database access is limited to a small set of op" \
	"erator accounts, each with audit logs. There's no shared admin login.</p></li>\n" \
	"<li><h3>Isolated environments</h3><p>Production, staging, and development run on separate infras" \
	"tructure with separate credentials. A bug in dev cannot reach a real user.</p></li>\n" \
	"<li><h3>No card data, ever</h3><p>Watchpost never sees a card number, CVC, or expiry. Stripe han" \
	"dles that. We hold a customer ID and a subscription state, and that's the whole picture.</p></li" \
	">\n" \
	"<li><h3>Logs without secrets</h3><p>Server logs are filtered before write. Authorization headers" \
	", cookies, and request bodies that contain secrets are stripped. Logs are kept for 30 days.</p><" \
	"/li>\n" \
	"</ul>\n" \
	"</section>\n" \
	"<section aria-labelledby=\"connections\">\n" \
	"<p class=\"topic\">Agent connections</p>\n" \
	"<h2 id=\"connections\">How a token actually works.</h2>\n" \
	"<ol class=\"steps\" role=\"list\">\n" \
	"<li><div><h3>Generated locally</h3><p>When you authorize an agent in the browser, we generate a " \
	"32-character base32 token. It looks like <code>wp_ABCD…XYZ</code>.</p></div></li>\n" \
	"<li><div><h3>Hashed before storage</h3><p>Before the token is saved, it's hashed with SHA-256. T" \
	"he database row contains the hash and an 8-character prefix used for UI listing. Nothing else.</" \
	"p></div></li>\n" \
	"<li><div><h3>Shown to you once</h3><p>The raw token is sent back to the CLI installer over a one" \
	"-time exchange code. It's written into your agent's MCP config and never displayed again.</p></d" \
	"iv></li>\n" \
	"<li><div><h3>Validated on every call</h3><p>When your agent calls the API, the bearer token is h" \
	"ashed and compared. A revoked or unknown token is rejected before any work begins.</p></div></li" \
	">\n" \
	"<li><div><h3>Revocable any time</h3><p>Revoke a connection from the dashboard. The token is mark" \
	"ed revoked immediately. The next API call fails closed.</p></div></li>\n" \
	"</ol>\n" \
	"</section>\n" \
	"<section aria-labelledby=\"disclosure\">\n" \
	"<p class=\"topic\">Responsible disclosure</p>\n" \
	"<h2 id=\"disclosure\">Found something? Tell us.</h2>\n" \
	"<p>If you spot a vulnerability, write to <a href=\"mailto:security@watchpost.systems\">security@wa" \
	"tchpost.systems</a>. Include enough detail that we can reproduce it, and we'll respond within 48" \
	" hours.</p>\n" \
	"<p>We don't pay bounties yet. We will name and thank you publicly if you'd like. Either way, ple" \
	"ase don't disclose the issue publicly until we've shipped a fix or 90 days have passed, whicheve" \
	"r comes first.</p>\n" \
	"<p>Please don't pen-test against accounts that aren't yours. If you need a test account to repro" \
	"duce an issue, email and we'll set one up.</p>\n" \
	"</section>\n" \
	"<section aria-labelledby=\"last\">\n" \
	"<h2 id=\"last\">Quiet, careful, always paying attention.</h2>\n" \
	"<p>Security work doesn't make a marketing page exciting. It does make a service trustworthy. We'" \
	"re trying for trustworthy.</p>\n" \
	"</section>\n" \
	"</main>\n" \
	"<footer><p><a href=\"/.well-known/security.txt\">security.txt</a></p></footer>\n" \
	"</body>\n" \
	"</html>\n"
/* clang-format on */

#endif
