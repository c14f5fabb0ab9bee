--- The same cursor completed with and without what is known of the repository, in a floating window.

local ask = require('code2lora.ask')

local M = {}

---@class code2lora.Completion one side of the answer to `code2lora/compare`
---@field text string
---@field nats? number mean −log p per token
---@field reason? { message: string }

---@param title string
---@param completion code2lora.Completion
---@param language string
---@return string[]
local function section(title, completion, language)
  local nats = ask.known(completion.nats) and (' (%.2f nats per token)'):format(completion.nats) or ''
  local lines = { ('**%s**%s'):format(title, nats) }
  if completion.text == '' then
    local reason = ask.known(completion.reason) and completion.reason.message or 'nothing offered'
    return vim.list_extend(lines, { reason })
  end
  lines[#lines + 1] = '```' .. language
  vim.list_extend(lines, vim.split(completion.text, '\n', { plain = true }))
  lines[#lines + 1] = '```'
  return lines
end

--- The window's text, in Markdown.
---@param result { withAdapter: code2lora.Completion, without: code2lora.Completion, adapterCommit?: string }
---@param language string for the highlighting
---@return string[]
function M.lines(result, language)
  local commit = ask.known(result.adapterCommit) and ' @ ' .. result.adapterCommit:sub(1, 6) or ''
  local lines = section('With the adapter' .. commit, result.withAdapter, language)
  lines[#lines + 1] = ''
  return vim.list_extend(lines, section('Without', result.without, language))
end

--- Ask for both at the cursor, and show them.
---@param bufnr integer
function M.show(bufnr)
  local client = ask.client(bufnr)
  if not client then
    return
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  ask.request(bufnr, 'code2lora/compare', params, function(result)
    local lines = M.lines(result, vim.bo[bufnr].filetype)
    vim.lsp.util.open_floating_preview(lines, 'markdown', { border = 'rounded', wrap = false })
  end)
end

return M
