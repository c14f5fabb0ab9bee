--- What a buffer gets when the server is attached to it.

local M = {}

local SETTLE_MS = 100

---@type table<integer, true> clients that are listened to
local known = {}

---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  if not known[client.id] then
    known[client.id] = true
    require('code2lora.suggestion').watch(client)
    require('code2lora.restart').watch(client)
  end
  require('code2lora.commands').create(bufnr)
  if vim.lsp.inline_completion and client:supports_method('textDocument/inlineCompletion', bufnr) then
    vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  elseif client:supports_method('textDocument/completion', bufnr) then
    vim.lsp.completion.enable(true, client.id, bufnr, { convert = M._whole_line })
  end
  M._tell_focus(client, bufnr)
end

--- Of an item that is a text edit Neovim inserts the first word only, unless it is told this.
---@param item lsp.CompletionItem
function M._whole_line(item)
  return { word = item.textEdit.newText }
end

--- Say which document is in use, which the status is about, and where its cursor rests: the server
--- reads that place before a key is typed there.
function M._tell_focus(client, bufnr)
  local group = vim.api.nvim_create_augroup('code2lora.focus.' .. bufnr, { clear = true })
  local n_moves = 0
  local function tell()
    if not client:is_stopped() and vim.api.nvim_get_current_buf() == bufnr then
      client:notify('textDocument/didFocus', vim.lsp.util.make_position_params(0, client.offset_encoding))
    end
  end
  local function tell_at_rest()
    n_moves = n_moves + 1
    local move = n_moves
    vim.defer_fn(function()
      if move == n_moves then
        tell()
      end
    end, SETTLE_MS)
  end
  vim.api.nvim_create_autocmd('BufEnter', { group = group, buffer = bufnr, callback = tell })
  vim.api.nvim_create_autocmd('CursorMoved', { group = group, buffer = bufnr, callback = tell_at_rest })
  tell()
end

return M
