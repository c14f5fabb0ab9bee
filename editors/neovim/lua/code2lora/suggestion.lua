--- The ghost text that Neovim shows for us, followed while the user types, and taken in parts.
---
--- Neovim 0.12 knows a suggestion only as it was when it came, and inserts it there: what was typed
--- meanwhile would be in the text twice. So the place of each item is kept in two extmarks, which
--- move with the text. What Neovim shows at the moment stays Neovim's secret until it is accepted:
--- `vim.lsp.inline_completion.get` names the item, and the rest is done here.

local M = {}

local METHOD = 'textDocument/inlineCompletion'
local INVOKED = 1
local namespace = vim.api.nvim_create_namespace('code2lora.suggestion')

---@class code2lora.Offer the newest answer of one buffer
---@field client_id integer
---@field items { text: string, first: integer, last: integer, command: lsp.Command? }[] with extmarks
---@field show fun(item: lsp.InlineCompletionItem) has Neovim show another item instead

---@type table<integer, code2lora.Offer>
local offers = {}

---@type table<integer, true> buffers whose next question is asked by hand
local by_hand = {}

--- Listen to the answers of a client.
---@param client vim.lsp.Client
function M.watch(client)
  local request = client.request
  client.request = function(self, method, params, handler, bufnr)
    if method ~= METHOD or not handler or not bufnr then
      return request(self, method, params, handler, bufnr)
    end
    if by_hand[bufnr] then
      by_hand[bufnr] = nil
      params.context.triggerKind = INVOKED
    end
    local function hear(err, result, context)
      M._remember(self, bufnr, result, function(item)
        hear(nil, { items = { item } }, context)
      end)
      return handler(err, result, context)
    end
    return request(self, method, params, hear, bufnr)
  end
end

--- Keep what came: each item's text, and where it goes.
---@param client vim.lsp.Client
---@param bufnr integer
---@param result? lsp.InlineCompletionList
---@param show fun(item: lsp.InlineCompletionItem)
function M._remember(client, bufnr, result, show)
  if not vim.api.nvim_buf_is_loaded(bufnr) then
    return
  end
  vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  offers[bufnr] = nil
  local items = {}
  for _, item in ipairs(result and result.items or {}) do
    items[#items + 1] = {
      text = item.insertText,
      first = M._mark(client, bufnr, item.range.start, false),
      last = M._mark(client, bufnr, item.range['end'], true),
      command = item.command,
    }
  end
  if #items > 0 then
    offers[bufnr] = { client_id = client.id, items = items, show = show }
  end
end

---@return integer the extmark; with `moves` it goes along with what is typed at its place
function M._mark(client, bufnr, position, moves)
  local line = vim.api.nvim_buf_get_lines(bufnr, position.line, position.line + 1, false)[1] or ''
  local col = vim.str_byteindex(line, client.offset_encoding, position.character, false)
  local row = math.min(position.line, vim.api.nvim_buf_line_count(bufnr) - 1)
  return vim.api.nvim_buf_set_extmark(bufnr, namespace, row, col, { right_gravity = moves })
end

---@class code2lora.Rest what is still to come of an item
---@field text string
---@field row integer of the cursor, from 0
---@field col integer of the cursor, in bytes
---@field last_col integer where the text ends that the whole item replaces

--- What is still to come of an item at the cursor; `nil` if the text has departed from it.
---@return code2lora.Rest?
local function rest_of(bufnr, item)
  local first = vim.api.nvim_buf_get_extmark_by_id(bufnr, namespace, item.first, {})
  local last = vim.api.nvim_buf_get_extmark_by_id(bufnr, namespace, item.last, {})
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  row = row - 1
  if first[1] ~= row or col < first[2] then
    return nil
  end
  local typed = vim.api.nvim_buf_get_text(bufnr, row, first[2], row, col, {})[1]
  if not vim.startswith(item.text, typed) then
    return nil
  end
  local last_col = last[1] == row and math.max(last[2], col) or col
  return { text = item.text:sub(#typed + 1), row = row, col = col, last_col = last_col }
end

--- Insert the beginning of what is still to come; what Neovim showed is shown again without it.
local function insert(bufnr, offer, item, pick)
  local rest = rest_of(bufnr, item)
  if not rest then
    return
  end
  local part = pick(rest.text)
  local is_whole = part == rest.text
  local lines = vim.split(part, '\n', { plain = true })
  local end_col = is_whole and rest.last_col or rest.col
  vim.api.nvim_buf_set_text(bufnr, rest.row, rest.col, rest.row, end_col, lines)
  local row, col = rest.row + #lines - 1, #lines[#lines] + (#lines == 1 and rest.col or 0)
  vim.api.nvim_win_set_cursor(0, { row + 1, col })
  local client = vim.lsp.get_client_by_id(offer.client_id)
  if is_whole and item.command and client then
    client:exec_cmd(item.command, { bufnr = bufnr })
  elseif not is_whole and client then
    offer.show(M._item(client, bufnr, item, rest.text:sub(#part + 1), row, col))
  end
end

--- The item that is left at the cursor.
function M._item(client, bufnr, item, text, row, col)
  local last = vim.api.nvim_buf_get_extmark_by_id(bufnr, namespace, item.last, {})
  local line = vim.api.nvim_buf_get_lines(bufnr, row, row + 1, true)[1]
  local function position(byte)
    local character = vim.str_utfindex(line, client.offset_encoding, byte, false)
    return { line = row, character = character }
  end
  local range = { start = position(col), ['end'] = position(math.max(col, last[2])) }
  return { insertText = text, range = range, command = item.command }
end

--- Take a part of the suggestion that is shown. May be called from an `<expr>` mapping.
---@param pick fun(text: string): string which part of what is still to come; see `pieces`
---@return boolean whether there was something to take
function M.accept(pick)
  local bufnr = vim.api.nvim_get_current_buf()
  if not vim.lsp.inline_completion or (offers[bufnr] and not M.rest(bufnr)) then
    return false
  end
  return vim.lsp.inline_completion.get({
    bufnr = bufnr,
    on_accept = function(shown) -- later, and after what the key before this one inserted
      local offer = offers[bufnr]
      if not offer or shown.client_id ~= offer.client_id then
        return shown -- of another language server
      end
      for _, item in ipairs(offer.items) do
        if item.text == shown.insert_text then
          return insert(bufnr, offer, item, pick)
        end
      end
    end,
  })
end

--- What is still to come of the first item that the text has not departed from.
---@param bufnr integer
---@return string?
function M.rest(bufnr)
  for _, item in ipairs(offers[bufnr] and offers[bufnr].items or {}) do
    local rest = rest_of(bufnr, item)
    if rest and rest.text ~= '' then
      return rest.text
    end
  end
end

--- The next of several suggestions; where there is one or none, ask by hand, for more and longer ones.
function M.next()
  local bufnr = vim.api.nvim_get_current_buf()
  local offer = offers[bufnr]
  if not vim.lsp.inline_completion then
    vim.lsp.completion.get()
  elseif offer and #offer.items > 1 then
    vim.lsp.inline_completion.select()
  else
    by_hand[bufnr] = true
    vim.api.nvim_exec_autocmds('CursorMovedI', { buffer = bufnr }) -- what Neovim's client waits for
  end
end

return M
