--- `:checkhealth code2lora`: Neovim's side, and what `code2lora-lsp --check` finds.

local M = {}

local health = vim.health
local CHECK_MS = 120000
local NAME = 'code2lora_lsp'

local function check_neovim()
  health.start('Neovim')
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.12') == 1 then
    health.ok(version .. ': suggestions are ghost text')
  elseif vim.fn.has('nvim-0.11.3') == 1 then
    local hint = 'Neovim 0.12 shows them as ghost text'
    health.warn(version .. ': suggestions are ordinary completion items', hint)
  else
    health.error(version .. ' is too old', 'Neovim 0.11.3 or newer is needed')
  end
end

local function check_clients()
  health.start('The server in this editor')
  local clients = vim.lsp.get_clients({ name = NAME })
  if #clients == 0 then
    health.warn('not running', "vim.lsp.enable('code2lora_lsp'), and a Python file in a window, start it")
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_keys(client.attached_buffers)
    health.ok(('running for %d buffer%s'):format(#buffers, #buffers == 1 and '' or 's'))
    for _, bufnr in ipairs(buffers) do
      local name = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(bufnr), ':~')
      local inline = vim.lsp.inline_completion and vim.lsp.inline_completion.is_enabled({ bufnr = bufnr })
      local how = inline and 'ghost text' or 'completion items'
      health.info(('%s: %s; %s'):format(name, how, require('code2lora').status(bufnr)))
    end
  end
end

local function check_keys()
  health.start('Keys')
  local found = {}
  for _, map in ipairs(vim.api.nvim_get_keymap('i')) do
    local plug = (map.rhs or ''):match('<Plug>%(code2lora%-[%w-]+%)')
    if plug then
      found[#found + 1] = map.lhs .. ' → ' .. plug
    end
  end
  if #found > 0 then
    health.ok(table.concat(found, ', '))
  else
    health.info('no key is mapped to a <Plug>(code2lora-…); see :help code2lora-keys')
  end
end

local SAY = {
  ok = function(text)
    health.ok(text)
  end,
  warn = function(text, hint)
    health.warn(text, hint)
  end,
  fail = function(text, hint)
    health.error(text, hint)
  end,
  skip = function(text)
    health.info(text)
  end,
}

--- Say what the server's own check found.
---@param answer { code: integer, stdout: string, stderr: string } of `code2lora-lsp --check --format json`
function M.report(answer)
  local ok, found = pcall(vim.json.decode, answer.stdout)
  if not ok or type(found) ~= 'table' or not found.checks then
    local seen = vim.trim(answer.stderr)
    local message = ('the check ended with exit code %d and no result'):format(answer.code)
    health.error(message, seen ~= '' and seen or nil)
    return
  end
  health.info('code2lora-lsp ' .. found.version)
  for _, check in ipairs(found.checks) do
    local hint = check.hint ~= '' and check.hint or nil
    SAY[check.verdict](('%s: %s'):format(check.check_id, check.detail), hint)
  end
end

--- Settings as options of the command line: `--set completion.maxLines=4`.
---@param settings table nested
---@return string[]
function M.options(settings, prefix)
  local options = {}
  for name, value in vim.spairs(settings) do
    if type(value) == 'table' and not vim.islist(value) then
      vim.list_extend(options, M.options(value, (prefix or '') .. name .. '.'))
    elseif type(value) ~= 'table' or next(value) then
      vim.list_extend(options, { '--set', ('%s%s=%s'):format(prefix or '', name, vim.json.encode(value)) })
    end
  end
  return options
end

local function check_server()
  local config = vim.lsp.config[NAME] or {}
  local cmd = config.cmd
  if type(cmd) ~= 'table' then
    health.warn('cmd is a function: its check cannot be run from here')
    return
  end
  health.start(table.concat(cmd, ' ') .. ' --check')
  if vim.fn.executable(cmd[1]) == 0 then
    health.error(cmd[1] .. ' was not found', "name it: vim.lsp.config('code2lora_lsp', { cmd = { '…' } })")
    return
  end
  local client = vim.lsp.get_clients({ name = NAME })[1]
  local folder = client and client.root_dir or vim.fn.getcwd()
  local command = vim.list_extend(vim.list_slice(cmd), { '--check', folder, '--format', 'json' })
  vim.list_extend(command, M.options(vim.tbl_get(config, 'settings', 'code2lora') or {}))
  M.report(vim.system(command, { text = true }):wait(CHECK_MS))
end

function M.check()
  check_neovim()
  check_clients()
  check_keys()
  check_server()
end

return M
