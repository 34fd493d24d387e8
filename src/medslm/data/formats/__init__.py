"""How an example becomes text, and how the text of a model becomes an answer again."""

from medslm.data.formats.compact_json import JSON
from medslm.data.formats.format import Format, formats
from medslm.data.formats.layout import INSTRUCT, QUESTION, TEXT
from medslm.data.formats.notation import Answer, fields_of
from medslm.data.formats.plain import PLAIN
from medslm.data.formats.refusal import Unwritable
from medslm.data.formats.toon import TOON, TOON_COUNTLESS

formats.add("chat", Format(PLAIN))
formats.add("toon", Format(TOON))
formats.add("toon-countless", Format(TOON_COUNTLESS))
formats.add("json", Format(JSON))
formats.add("think", Format(PLAIN, thinks=True))
formats.add("instruct", Format(PLAIN, INSTRUCT))
formats.add("question", Format(PLAIN, QUESTION))
formats.add("text", Format(PLAIN, TEXT))

__all__ = ["Answer", "Format", "Unwritable", "fields_of", "formats"]
