"""Why a recording is not held to what it reads: nothing in it can be shown to a client of Anthropic's format."""

UNDECLARED = "a call of a tool that a request of Anthropic's cannot declare here, so none is called"
APPROVAL = "a request to approve a call of an MCP server that runs at the provider; the proxy names none"

LEFT_OUT = {
    "openai/openai.responses.openai-apply-patch-tool-1-chunks.21e56a5a.json": UNDECLARED,
    "openai/openai.responses.openai-apply-patch-tool-1.c1d0a564.json": UNDECLARED,
    "openai/openai.responses.openai-custom-tool-1-chunks.5e848bd6.json": UNDECLARED,
    "openai/openai.responses.openai-custom-tool-1.5d3060cc.json": UNDECLARED,
    "openai/openai.responses.openai-mcp-tool-approval-1-chunks.549b41a2.json": APPROVAL,
    "openai/openai.responses.openai-mcp-tool-approval-1.a28d5691.json": APPROVAL,
    "openai/openai.responses.openai-mcp-tool-approval-3-chunks.47821e59.json": APPROVAL,
    "openai/openai.responses.openai-mcp-tool-approval-3.68ef950b.json": APPROVAL,
    "openai/openai.responses.openai-shell-tool-1.b664d4ea.json": UNDECLARED,
    "openai/openai.responses.test-openai-responses-image-generation-jpeg.24712f9d.json": (
        "the answer is an image, which a request of Anthropic's cannot ask for and a block of Anthropic's cannot hold"
    ),
}
