--- The same cursor completed with and without what is known of the repository, in a floating window.

local ask = require('code2lora.ask')

local M = {}

local MOST_TRIES = 3

---@class code2lora.Completion one side of the answer to `code2lora/compare`
---@field text string
---@field nats? number mean −log p per token
---@field reason? { message: string }

--- One side, under its title as a comment of the language.
---@param title string
---@param completion code2lora.Completion
---@param comment string such as `# %s`
---@return string[]
local function section(title, completion, comment)
  local nats = ask.known(completion.nats) and (', %.2f nats per token'):format(completion.nats) or ''
  local lines = { comment:format(title .. nats) }
  if completion.text == '' then
    local reason = ask.known(completion.reason) and completion.reason.message or 'nothing offered'
    return vim.list_extend(lines, { comment:format('(' .. reason .. ')') })
  end
  return vim.list_extend(lines, vim.split(completion.text, '\n', { plain = true }))
end

--- The window's text: code, with the rest in comments.
---@param result { withAdapter: code2lora.Completion, without: code2lora.Completion, adapterCommit?: string }
---@param comment string the language's 'commentstring'
---@return string[]
function M.lines(result, comment)
  comment = comment ~= '' and comment or '%s'
  local commit = ask.known(result.adapterCommit) and ' @ ' .. result.adapterCommit:sub(1, 6) or ''
  local lines = section('with the adapter' .. commit, result.withAdapter, comment)
  lines[#lines + 1] = ''
  return vim.list_extend(lines, section('without', result.without, comment))
end

--- The cursor; in normal mode at the end of a line, where text would be appended.
local function place(client)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local line, col = vim.api.nvim_get_current_line(), vim.api.nvim_win_get_cursor(0)[2]
  local is_normal = vim.api.nvim_get_mode().mode:sub(1, 1) == 'n'
  if is_normal and line ~= '' and col + vim.str_utf_end(line, col + 1) + 1 == #line then
    params.position.character = vim.str_utfindex(line, client.offset_encoding)
  end
  return params
end

local function is_superseded(completion)
  return ask.known(completion.reason) and completion.reason.reason == 'SUPERSEDED'
end

--- Ask for both at the cursor, and show them.
---@param bufnr integer
---@param n_tries? integer a question of Neovim's own, just after a key, takes the place of ours
function M.show(bufnr, n_tries)
  local client = ask.client(bufnr)
  if not client then
    return
  end
  ask.request(bufnr, 'code2lora/compare', place(client), function(result)
    if (is_superseded(result.withAdapter) or is_superseded(result.without)) and n_tries ~= 0 then
      return M.show(bufnr, (n_tries or MOST_TRIES) - 1)
    end
    local lines = M.lines(result, vim.bo[bufnr].commentstring)
    vim.lsp.util.open_floating_preview(lines, vim.bo[bufnr].filetype, { border = 'rounded', wrap = false })
  end)
end

return M
