--- What a configuration calls. Everything here works without a `setup()`; see `:help code2lora`.

local M = {}

local function accept(piece)
  return function()
    return require('code2lora.suggestion').accept(require('code2lora.pieces')[piece])
  end
end

--- Take the suggestion that is shown. These three say whether there was one, so that a mapping can
--- do something else if not.
M.accept = accept('whole')
--- Take its next word; the rest stays.
M.accept_word = accept('word')
--- Take it up to the end of the line; the rest stays.
M.accept_line = accept('line')

--- Show the next suggestion; where there is one or none, ask for more and longer ones.
function M.next()
  require('code2lora.suggestion').next()
end

--- For a status line: `adapter @ a1b2c3`, and why nothing was offered last.
---@param bufnr? integer the current one unless said
---@return string empty in a buffer that is not served
function M.status(bufnr)
  return require('code2lora.status').text(bufnr or 0)
end

--- Prepare a buffer for a client. `plugin/code2lora.lua` calls this at LspAttach.
---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  require('code2lora.attach').attach(client, bufnr)
end

return M
