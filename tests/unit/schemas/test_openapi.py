"""schemas/openapi.yaml and docs/answers.md: valid, and the same as what the program does."""

import json
import re
import runpy
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[3]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
CONTRACT = yaml.safe_load((ROOT / "schemas" / "openapi.yaml").read_text(encoding="utf-8"))

# What OpenAPI 3.1 asks of the parts that are used here (spec.openapis.org/oas/v3.1.0).
REFERENCE = {"type": "object", "required": ["$ref"], "maxProperties": 1, "properties": {"$ref": {"type": "string"}}}
CONTENT = {"type": "object", "minProperties": 1, "additionalProperties": {
    "type": "object", "required": ["schema"], "additionalProperties": False,
    "properties": {"schema": {"type": "object"}, "examples": {"type": "object", "additionalProperties": {
        "type": "object", "required": ["value"]}}}}}
HEADER = {"type": "object", "required": ["schema"], "additionalProperties": False, "properties": {
    "description": {"type": "string"}, "required": {"type": "boolean"}, "schema": {"type": "object"}}}
RESPONSE = {"type": "object", "required": ["description"], "additionalProperties": False, "properties": {
    "description": {"type": "string", "minLength": 1}, "content": CONTENT,
    "headers": {"type": "object", "additionalProperties": {"anyOf": [REFERENCE, HEADER]}}}}
OPERATION = {
    "type": "object", "required": ["operationId", "tags", "summary", "responses"], "additionalProperties": False,
    "properties": {
        "operationId": {"type": "string", "pattern": "^[a-z][A-Za-z]+$"},
        "tags": {"type": "array", "items": {"enum": [tag["name"] for tag in CONTRACT["tags"]]}, "minItems": 1},
        "summary": {"type": "string"}, "description": {"type": "string"}, "security": {"type": "array"},
        "requestBody": {"type": "object", "required": ["content"], "additionalProperties": False, "properties": {
            "required": {"type": "boolean"}, "description": {"type": "string"}, "content": CONTENT}},
        "responses": {"type": "object", "minProperties": 1, "additionalProperties": False,
                      "patternProperties": {"^([1-5][0-9][0-9]|default)$": {"anyOf": [REFERENCE, RESPONSE]}}},
    },
}
SERVERS = {"type": "array", "items": {"type": "object", "required": ["url"], "additionalProperties": False,
                                      "properties": {"url": {"type": "string"}, "description": {"type": "string"}}}}
DOCUMENT = {
    "type": "object", "required": ["openapi", "info", "paths", "components"], "additionalProperties": False,
    "properties": {
        "openapi": {"const": "3.1.0"},
        "info": {"type": "object", "required": ["title", "version"], "properties": {"version": {"type": "string"}}},
        "servers": SERVERS, "security": {"type": "array"},
        "tags": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "paths": {"type": "object", "additionalProperties": False, "patternProperties": {"^/": {
            "type": "object", "additionalProperties": False,
            "properties": {"servers": SERVERS, **{method: OPERATION for method in METHODS}}}}},
        "components": {"type": "object", "additionalProperties": False, "properties": {
            "schemas": {"type": "object"}, "headers": {"type": "object", "additionalProperties": HEADER},
            "responses": {"type": "object", "additionalProperties": RESPONSE},
            "securitySchemes": {"type": "object", "additionalProperties": {
                "type": "object", "required": ["type"], "oneOf": [{"required": ["in", "name"]}, {"required": ["scheme"]}]}}}},
    },
}


def walk(node):
    """Every object of the document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def source(*patterns: str) -> str:
    """The text of the C sources that match."""
    return "\n".join(path.read_text(encoding="utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern)))


def problem_table() -> dict[str, str]:
    """Code → title, from ingress/problem.c."""
    rows = dict(re.findall(r'^\t\{"([a-z_]+)", "([^"]+)", \d+\},$', source("ingress/problem.c"), re.M))
    assert len(rows) > 10
    return rows


def test_document_is_openapi():
    """Why: tools read it. How: the shape of every part against what OpenAPI 3.1 asks, and unique operation ids."""
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    problems = [f"{'/'.join(map(str, error.path))}: {error.message}"
                for error in jsonschema.Draft202012Validator(DOCUMENT).iter_errors(CONTRACT)]
    assert problems == []
    ids = [node["operationId"] for node in walk(CONTRACT) if "operationId" in node]
    assert len(ids) == len(set(ids))


def test_references_resolve():
    """Why: a reference to nothing is silently anything. How: each is looked up."""
    references = [node["$ref"] for node in walk(CONTRACT) if "$ref" in node]
    assert references
    for reference in references:
        at = CONTRACT
        assert reference.startswith("#/")
        for part in reference[2:].split("/"):
            at = at[part]


def test_schemas_are_schemas_and_examples_fit():
    """Why: examples are what people copy. How: schemas against JSON Schema 2020-12, examples against their schemas."""
    resolver = jsonschema.RefResolver("", CONTRACT)
    examples = 0
    for schema in CONTRACT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for node in walk(CONTRACT):
        if "schema" not in node:
            continue
        jsonschema.Draft202012Validator.check_schema(node["schema"])
        for example in node.get("examples", {}).values():
            jsonschema.Draft202012Validator(node["schema"], resolver=resolver).validate(example["value"])
            examples += 1
    assert examples >= 5


def test_routes_are_the_program_s():
    """Why: a route that is not in the contract, or only there, is a lie. How: the tables of ingress/route.c and
    common/admin.c against the paths and methods."""
    routes = re.findall(r'\{"[a-z_]+", HTTP_([A-Z]+), "(/[^"]*)"', source("ingress/route.c"))
    routes += re.findall(r'\{"(GET|POST)", "(/[a-z/]+)", ', source("common/admin.c"))
    described = {(method, path) for path, item in CONTRACT["paths"].items() for method in METHODS if method in item}
    assert {(method.lower(), path) for method, path in routes} == described


def test_the_served_document_is_the_contract():
    """Why: GET /v1/openapi.json is what people read. How: the C header against what its script makes, the text between its
    quotes against the contract; no path of the admin listener, and nothing that is not used."""
    script = runpy.run_path(str(ROOT / "ingress" / "routes" / "openapi.py"))
    written = (ROOT / "ingress" / "routes" / "openapi.h").read_text(encoding="utf-8")
    assert written == script["header"]((ROOT / "schemas" / "openapi.yaml").read_text(encoding="utf-8"))
    lines = re.findall(r'^\t"(.*)"(?: \\)?$', written, re.M)
    served = json.loads("".join(lines).replace('\\"', '"').replace("\\\\", "\\"))
    assert served["paths"] == {path: item for path, item in CONTRACT["paths"].items() if "servers" not in item}
    assert served["info"] == CONTRACT["info"] and "/healthz" not in served["paths"]
    assert jsonschema.Draft202012Validator(DOCUMENT).is_valid(served)
    used = set(script["references"](served))
    assert {(kind, name) for kind, parts in served["components"].items() for name in parts
            if kind != "securitySchemes"} == used


def test_problem_codes_are_the_program_s():
    """Why: the list is closed; programs decide by it. How: the enum, and the titles and types of the examples, against
    ingress/problem.c."""
    table = problem_table()
    assert CONTRACT["components"]["schemas"]["ProblemCode"]["enum"] == list(table)
    for response in CONTRACT["components"]["responses"].values():
        for example in response["content"].get("application/problem+json", {}).get("examples", {}).values():
            value = example["value"]
            assert value["title"] == table[value["code"]]
            assert value["type"].endswith("/" + value["code"])


REASONS = (
    r'(?:refuse|bad)\((?:p|&p|c|req), (?:\d+, )?"([a-z_]+)"', r'reason = "([a-z_]+)"', r'\] = "(signature_[a-z_]+)"',
    r'(?:unavailable|limited)\((?:req|waiting->req), "([a-z_]+)"', r'request_wait\([^;]*"([a-z_]+)"\)', r'"(client_gone)"', r'"((?:head|body)_timeout)"',
)


def answers_rows() -> list[tuple[str, str, str]]:
    """(answer, code, reason) of every row that has four columns."""
    rows = []
    for line in (ROOT / "docs" / "answers.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[1] not in ("answer", "---"):
            rows.append((cells[1], cells[2].strip("`"), cells[3].strip("`")))
    assert len(rows) > 50
    return rows


def test_answers_name_every_reason():
    """Why: docs/answers.md is where an operator looks a log line up. How: the words that the ingress gives as reasons,
    and the codes that serve as reasons, against the table's last column, both ways."""
    text = source("ingress/*.c", "ingress/*/*.c")
    given = {word for pattern in REASONS for word in re.findall(pattern, text)} - {"signature_good"}
    shown = {reason for _, _, reason in answers_rows()}
    assert given - shown == set()
    assert shown - given - set(problem_table()) == set()


def test_answers_agree_with_the_codes():
    """Why: a status beside the wrong code misleads. How: errors have a code of the closed list, others have none, and a
    code has one status wherever the engine chooses it by the status."""
    by_status = dict(re.findall(r'^\t\{"([a-z_]+)", "[^"]+", (\d+)\},$', source("ingress/problem.c"), re.M))
    wrong = []
    for answer, code, reason in answers_rows():
        status = answer[:3] if answer[:3].isdigit() else "0"
        if (code in by_status) != (status >= "400") or by_status.get(code, "0") not in ("0", status):
            wrong.append((answer, code, reason))
    assert wrong == []


def test_every_code_is_explained():
    """Why: the list is closed, so each entry must be found in the page. How: each code stands there somewhere."""
    text = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")
    assert [code for code in problem_table() if f"`{code}`" not in text] == []
