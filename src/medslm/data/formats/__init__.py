"""How an example becomes text, and how the text of a model becomes an answer again."""

from medslm.data.formats.chat import CHAT
from medslm.data.formats.format import Answer, Format, formats
from medslm.data.formats.toon import TOON

formats.add("chat", CHAT)
formats.add("toon", TOON)

__all__ = ["Answer", "Format", "formats"]
