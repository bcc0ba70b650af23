"""Makes ingress/routes/security_page.h from docs/security-page.txt.

Run it after a change of the text: `python3 ingress/routes/security_page.py`. A test fails when the header is not what
this script would write. The page is static HTML without scripts; its one style sheet is allowed by its hash.
"""
import base64
import hashlib
import html
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs" / "security-page.txt"
TARGET = ROOT / "ingress" / "routes" / "security_page.h"

STYLE = """
:root{color-scheme:light dark;--ink:#1a1d21;--quiet:#565d66;--line:#d9dde2;--paper:#fdfdfc;--mark:#0b6e4f}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--quiet:#a4abb4;--line:#33383f;--paper:#14171a;--mark:#5cc8a1}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.6 system-ui,sans-serif}
main,header,footer{max-width:44rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:3.5rem}
main{padding-bottom:1rem}
h1{font-size:2.25rem;line-height:1.15;margin:.25rem 0 1rem;letter-spacing:-.02em}
h2{font-size:1.5rem;line-height:1.25;margin:.25rem 0 1.25rem}
h3{font-size:1.0625rem;margin:0 0 .25rem}
section{border-top:1px solid var(--line);padding-top:2.25rem;margin-top:2.75rem}
p{margin:0 0 1rem}
.topic{color:var(--mark);font-weight:600;margin:0}
.practices{display:grid;gap:1.5rem 2rem;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));padding:0;margin:0;list-style:none}
.practices p,.steps p{color:var(--quiet);margin:0}
.steps{padding:0;margin:0;list-style:none;counter-reset:step}
.steps li{display:grid;grid-template-columns:3rem 1fr;margin-bottom:1.25rem;counter-increment:step}
.steps li::before{content:counter(step,decimal-leading-zero);color:var(--mark);font-variant-numeric:tabular-nums;font-weight:600}
code{font-family:ui-monospace,monospace;font-size:.95em}
a{color:var(--mark)}
a:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem}
footer{padding-bottom:3.5rem}
""".replace("\n", "")


def inline(text):
    """Escapes, then marks up the one address and the one token that the text shows."""
    text = html.escape(text, quote=False)
    text = text.replace("security@watchpost.systems",
                        '<a href="mailto:security@watchpost.systems">security@watchpost.systems</a>')
    return re.sub(r"\bwp_(?:ABCD…XYZ)?", lambda m: f"<code>{m.group(0)}</code>", text)


def sections(lines):
    """The text's parts in order: a dict of lists, cut at its known headings."""
    marks = ["Security", "Practices", "Agent connections", "Responsible disclosure",
             "Quiet, careful, always paying attention."]
    parts, name = {}, None
    for line in (line.strip() for line in lines):
        if line in marks and line not in parts:
            name = line
            parts[name] = []
        elif line:
            parts[name].append(line)
    if list(parts) != marks:
        raise SystemExit(f"{SOURCE}: headings are {list(parts)}")
    return parts


def body(parts):
    out = ['<a class="skip" href="#main">Skip to content</a>', "<header>", '<p class="topic">Security</p>']
    title, intro = parts["Security"]
    out += [f"<h1>{inline(title)}</h1>", f"<p>{inline(intro)}</p>", "</header>", '<main id="main">']

    first, *practices = parts["Practices"]
    out += ['<section aria-labelledby="practices">', '<p class="topic">Practices</p>',
            f'<h2 id="practices">{inline(first)}</h2>', '<ul class="practices">']
    for name, text in zip(practices[::2], practices[1::2], strict=True):
        out.append(f"<li><h3>{inline(name)}</h3><p>{inline(text)}</p></li>")
    out += ["</ul>", "</section>"]

    first, *steps = parts["Agent connections"]
    steps = [line for line in steps if not re.fullmatch(r"\d\.|\d\. \d\d|\d\d", line)]
    out += ['<section aria-labelledby="connections">', '<p class="topic">Agent connections</p>',
            f'<h2 id="connections">{inline(first)}</h2>', '<ol class="steps" role="list">']
    for name, text in zip(steps[::2], steps[1::2], strict=True):
        out.append(f"<li><div><h3>{inline(name)}</h3><p>{inline(text)}</p></div></li>")
    out += ["</ol>", "</section>"]

    first, *rest = parts["Responsible disclosure"]
    out += ['<section aria-labelledby="disclosure">', '<p class="topic">Responsible disclosure</p>',
            f'<h2 id="disclosure">{inline(first)}</h2>', *(f"<p>{inline(line)}</p>" for line in rest), "</section>"]

    last = "Quiet, careful, always paying attention."
    out += ['<section aria-labelledby="last">', f'<h2 id="last">{inline(last)}</h2>',
            *(f"<p>{inline(line)}</p>" for line in parts[last]), "</section>", "</main>"]
    out.append('<footer><p><a href="/.well-known/security.txt">security.txt</a></p></footer>')
    return out


def page(text):
    head = ["<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">', "<title>Security · Watchpost</title>",
            '<meta name="description" content="How Watchpost keeps what it is trusted with.">',
            f"<style>{STYLE}</style>", "</head>", "<body>"]
    return "\n".join(head + body(sections(text.splitlines())) + ["</body>", "</html>", ""])


def c_string(text):
    lines = []
    for line in text.splitlines():
        while line:
            part, line = line[:96], line[96:]
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'\t"{escaped}{"" if line else chr(92) + "n"}"')
    return " \\\n".join(lines)


def header(text):
    made = page(text)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"""/*
 * The security page, made from docs/security-page.txt by ingress/routes/security_page.py. Not edited by hand.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_SECURITY_PAGE_H
#define WATCHPOST_INGRESS_ROUTES_SECURITY_PAGE_H

/* What the Content-Security-Policy allows: this style sheet and nothing else. */
#define SECURITY_PAGE_STYLE_HASH "'sha256-{digest}'"

/* clang-format off */
#define SECURITY_PAGE_HTML \\
{c_string(made)}
/* clang-format on */

#endif
"""


if __name__ == "__main__":
    TARGET.write_text(header(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
