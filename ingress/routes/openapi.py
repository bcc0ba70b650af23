"""Makes ingress/routes/openapi.h from schemas/openapi.yaml.

Run it after a change of the contract: `python3 ingress/routes/openapi.py`. A test fails when the header is not what this
script would write. The document is JSON without white space; the admin listener's paths are not part of it, as nobody
who can read it from outside can reach them.
"""
import json
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "schemas" / "openapi.yaml"
TARGET = ROOT / "ingress" / "routes" / "openapi.h"
ADMIN = "admin"


def references(node):
    """The names of the components that are used, by kind."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield tuple(node["$ref"].split("/")[2:4])
        node = node.values()
    if not isinstance(node, str) and hasattr(node, "__iter__"):
        for child in node:
            yield from references(child)


def public(contract):
    """The contract without the admin listener, and without the components that only that uses."""
    made = dict(contract)
    made["tags"] = [tag for tag in contract["tags"] if tag["name"] != ADMIN]
    made["paths"] = {path: item for path, item in contract["paths"].items() if "servers" not in item}
    components, used, more = contract["components"], set(), set(references(made["paths"]))
    while more:
        used |= more
        more = {found for kind, name in more for found in references(components[kind][name])} - used
    made["components"] = {kind: {name: part for name, part in parts.items()
                                 if kind == "securitySchemes" or (kind, name) in used}
                          for kind, parts in components.items()}
    return made


def c_string(text):
    lines = []
    while text:
        part, text = text[:72], text[72:]
        escaped = part.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'\t"{escaped}"')
    return " \\\n".join(lines)


def header(text):
    """The text of openapi.h for the text of openapi.yaml."""
    made = json.dumps(public(yaml.safe_load(text)), ensure_ascii=True, separators=(",", ":"))
    return f"""/*
 * The HTTP contract as JSON, made from schemas/openapi.yaml by ingress/routes/openapi.py. Not edited by hand.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_OPENAPI_H
#define WATCHPOST_INGRESS_ROUTES_OPENAPI_H

/* clang-format off */
#define OPENAPI_JSON \\
{c_string(made)}
/* clang-format on */

#endif
"""


if __name__ == "__main__":
    TARGET.write_text(header(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
