"""events.h and events.c from the event descriptions."""

import textwrap

from model import EventType, Field

C_TYPES = {"string": "struct bytes", "i64": "int64_t", "bool": "bool"}
NOTICE = "/* Made by schemas/generate.py from schemas/events/. Change it there. */\n"


def _comment(text: str, indent: str = "") -> str:
    plain = text.replace("`", "'").replace("*/", "* /")
    lines = textwrap.wrap(plain, width=110 - len(indent.expandtabs(8)))
    return indent + "/* " + f"\n{indent} * ".join(lines) + " */\n"


def _struct(event_type: EventType) -> str:
    out = _comment(event_type.doc)
    out += f"struct event_{event_type.c_name} {{\n"
    for field in event_type.fields:
        out += _comment(field.doc, "\t")
        out += f"\t{C_TYPES[field.type]} {field.name};\n"
        if not field.always_read:
            out += f"\tbool has_{field.name};\n"
    return out + "};\n"


def _prototypes(event_type: EventType) -> str:
    name = event_type.c_name
    return (
        f"enum {{ EVENT_{name.upper()}_BYTES_MAX = {event_type.value_bytes_max} }}; /* of the encoded value */\n"
        f"MUSTCHECK bool event_{name}_encode(const struct event_{name} *event, struct buf *out);\n"
        f"MUSTCHECK bool event_{name}_decode(struct bytes value, struct event_{name} *event, struct err *err);\n"
    )


def header(types: list[EventType]) -> str:
    """The text of events.h."""
    out = NOTICE + "#ifndef WATCHPOST_GEN_EVENTS_H\n#define WATCHPOST_GEN_EVENTS_H\n\n"
    out += '#include "common/event.h"\n#include "common/event_codec.h"\n\n'
    out += (
        "/*\n * The payload of every event type, with its encoder and decoder (common/event_codec.h says what they\n"
        " * refuse and who owns what). has_<name> tells whether a field that may be absent is there.\n */\n\n"
    )
    out += "enum event_type_id {\n"
    out += "".join(f"\tEVENT_TYPE_{event_type.c_name.upper()},\n" for event_type in types)
    out += "\tEVENT_TYPE_COUNT\n};\n\n"
    out += (
        "/* One row per type. */\nstruct event_type {\n\tenum event_type_id id;\n"
        "\tconst char *name; /* ce_type */\n\tuint32_t version;\n\tconst char *dataschema; /* ce_dataschema */\n"
        "\tenum event_topic topic;\n\tconst struct event_layout *layout;\n};\n\n"
        "/* NULL: no type of this program's version. */\n"
        "const struct event_type *event_type_find(struct bytes ce_type);\n"
        "/* `id` < EVENT_TYPE_COUNT; never NULL. */\nconst struct event_type *event_type_get(enum event_type_id id);\n"
    )
    for event_type in types:
        out += "\n" + _struct(event_type) + _prototypes(event_type)
    return out + "\n#endif\n"


def _field_row(event_type: EventType, field: Field) -> str:
    struct = f"struct event_{event_type.c_name}"
    presence = "EVENT_OPTIONAL"
    if field.required:
        presence = "EVENT_REQUIRED" if field.always_read else "EVENT_WRITTEN"
    has = "0" if field.always_read else f"offsetof({struct}, has_{field.name})"
    return (
        f'\t{{ .name = "{field.name}",\n\t  .name_len = {len(field.name)},\n'
        f"\t  .type = EVENT_FIELD_{field.type.upper()},\n\t  .presence = {presence},\n"
        f"\t  .bytes_max = {field.bytes_max or 0},\n"
        f"\t  .offset = offsetof({struct}, {field.name}),\n\t  .has_offset = {has} }},\n"
    )


def _layout(event_type: EventType) -> str:
    name = event_type.c_name
    widest = max(field.bytes_max or 0 for field in event_type.fields)
    rows = "".join(_field_row(event_type, field) for field in event_type.fields)
    return (
        f"static const struct event_field {name}_fields[] = {{\n{rows}}};\n"
        f'_Static_assert(ARRAY_LEN({name}_fields) <= EVENT_FIELDS_MAX, "fields");\n'
        f'_Static_assert({widest} <= EVENT_STRING_BYTES_MAX, "the longest string");\n'
        f'_Static_assert({event_type.value_bytes_max} <= EVENT_VALUE_BYTES_MAX, "the value");\n'
        f'_Static_assert(sizeof(struct event_{name}) <= UINT16_MAX, "offsets");\n'
        f"static const struct event_layout {name}_layout = {{\n\t.fields = {name}_fields,\n"
        f"\t.field_count = ARRAY_LEN({name}_fields),\n\t.struct_bytes = sizeof(struct event_{name}),\n}};\n"
    )


def _functions(event_type: EventType) -> str:
    name = event_type.c_name
    return (
        f"bool event_{name}_encode(const struct event_{name} *event, struct buf *out)\n{{\n"
        f"\treturn event_encode(&{name}_layout, event, out);\n}}\n\n"
        f"bool event_{name}_decode(struct bytes value, struct event_{name} *event, struct err *err)\n{{\n"
        f"\treturn event_decode(&{name}_layout, value, event, err);\n}}\n"
    )


def _type_row(event_type: EventType) -> str:
    topic = event_type.topic.upper().replace("-", "_")
    return (
        f"\t[EVENT_TYPE_{event_type.c_name.upper()}] = {{ .id = EVENT_TYPE_{event_type.c_name.upper()},\n"
        f'\t\t.name = "{event_type.name}",\n\t\t.version = {event_type.version},\n'
        f'\t\t.dataschema = "{event_type.dataschema}",\n\t\t.topic = EVENT_TOPIC_{topic},\n'
        f"\t\t.layout = &{event_type.c_name}_layout }},\n"
    )


def source(types: list[EventType]) -> str:
    """The text of events.c."""
    out = NOTICE + '#include "events.h"\n\n#include <assert.h>\n'
    for event_type in types:
        out += "\n" + _layout(event_type) + "\n" + _functions(event_type)
    out += "\nstatic const struct event_type types[] = {\n" + "".join(map(_type_row, types)) + "};\n"
    out += '_Static_assert(ARRAY_LEN(types) == EVENT_TYPE_COUNT, "a row per type");\n'
    out += (
        "\nconst struct event_type *event_type_find(struct bytes ce_type)\n{\n"
        "\tfor (size_t i = 0; i < ARRAY_LEN(types); i++) {\n"
        "\t\tif (bytes_equal_text(ce_type, types[i].name))\n\t\t\treturn &types[i];\n\t}\n\treturn NULL;\n}\n"
        "\nconst struct event_type *event_type_get(enum event_type_id id)\n{\n"
        "\tassert(id < EVENT_TYPE_COUNT);\n\treturn &types[id];\n}\n"
    )
    return out
