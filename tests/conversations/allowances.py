"""All that may differ between two readings of one conversation. What is not told here is a difference.

Words that are nobody's may stand around, between and in place of a conversation's own: they are the patterns below.

Of the conversation itself (comparing.py, words.py):
- neighbouring texts of one role may be joined, with white space between them, which an assistant's texts need not have;
  the white space at the ends of a text is no part of it, and a text of nothing else is none
- neighbouring messages of one role may be one message, unless the first calls a tool; an empty message may be none
- results may come in any order and anywhere behind their calls; where there is none, one may have been made up; one that
  has no call may have become what the user says
- the files in a result may come behind all results of the step, the words of a document of text as text, between tags
  that name it; a file without a name may get one; its context may be told behind it
- that a result is an error may be told by its first word
- ids may be others, as long as each result is with its call; the name of a tool that is not fit for every provider may be
  another, the same one everywhere and no other tool's
- a system message may have become a reminder in the user's name; before anybody has spoken, a part of the system prompt
- in Chat Completions the text of a message comes before its calls
- reasoning is in each provider's own form, so it is held against reasoning of the same format only; so is the effort

Of what is asked for (comparing.py):
- Claude Code's billing line may be missing from the system prompt
- of several tools with one name, all but the first; tools without a name; deferred tools that have not come up
- a tool's schema may be another, as long as it has the same properties and requires the same (schemas.py)
- a choice that is left open is auto; so is that of a tool that is not offered; without tools there is none; to choose the
  only tool is to choose any
- a limit of tokens may be set where none is; an empty stop sequence is none
"""

import re

# What stands where nothing is said, where some provider wants something said.
STAND_INS = (
    r"\(empty\)",
    r"\(no output\)",
    r"\[unsupported block: [^\]\n]*\]",
)
# What stands around and between the words of others.
OWN_WORDS = (
    r"\s+",
    r"</?system-reminder>",
    r'</?(document|search_result)( (title|context)="(\s|&#\d+;)*")*>',
    r"From the result of the tool [^\n]*:",
    r"\[result of an earlier tool call\]",
    r"(?<=\[result of an earlier tool call\]\n)Error:",
)
# What stands before the words of what only Anthropic knows, or in their place.
OF_OTHERS = (
    r"Tool loaded: \S+",
    r"\[found on the web\]",
    r"-(?=\s)",
)
# What a result begins with that is an error.
OF_AN_ERROR = (r"Error:",)

# What a result says that was made up.
MADE_UP = re.compile(r"(Error: )?\[no result[^\]\n]*\]")

# How many characters may stand on its line before each word of what only Anthropic knows.
FRAME = 120

# What stands in a result where a file was that comes behind all results.
POINTS_TO_A_FILE = re.compile(r"\[(image|document) below[^\]\n]*\]")

# What stands for a file that cannot be shown. Where the file lies at Anthropic, nobody can; else it is a difference.
STAND_IN_FOR_A_FILE = "[A file was here.]"
STANDS_FOR_A_FILE = re.compile(r"\[An? (file|image|(PDF )?document)\b.{,300}?\bwas here.{,300}?\.\]", re.DOTALL)

# What the assistant says between results and the user's next words, where a provider wants it to speak in between.
BRIDGE = "OK."
# The name of a file that has none.
NAMELESS = "document.pdf"
# Claude Code's first line of a system prompt, for Anthropic alone; client.md 2.3.
BILLING = "x-anthropic-billing-header:"
