--- `:LspCode2Lora…`: what is about a buffer, in every one that is served; what is about the server, everywhere.

local ask = require('code2lora.ask')

local M = {}

local function place(bufnr)
  return { uri = vim.uri_from_bufnr(bufnr) }
end

local SCOPES = { 'everywhere', 'folder', 'language' }

--- The folder of a buffer's file; Neovim's own where it has no file yet.
local function folder_of(bufnr)
  local name = vim.api.nvim_buf_get_name(bufnr)
  return name == '' and vim.fn.getcwd() or vim.fs.dirname(name)
end

local function toggle(bufnr, options)
  if options.args ~= '' and not vim.list_contains(SCOPES, options.args) then
    local message = ('%q: expected %s'):format(options.args, table.concat(SCOPES, ', '))
    return ask.tell(message, vim.log.levels.ERROR)
  end
  local arguments = {
    language = { language = vim.bo[bufnr].filetype },
    folder = { folder = folder_of(bufnr) },
  }
  ask.execute(bufnr, 'toggleCompletions', arguments[options.args], function(result)
    ask.tell(('completions %s: %s'):format(result.enabled and 'on' or 'off', result.scope))
  end)
end

local function export(bufnr, options)
  local folder = vim.fs.normalize(vim.fn.fnamemodify(options.args, ':p'))
  local argument = { uri = vim.uri_from_bufnr(bufnr), to = folder }
  ask.execute(bufnr, 'exportAdapter', argument, function(result)
    local message = ('written to %s, rank %d'):format(result.folder, result.rank)
    if ask.known(result.kept) and result.kept < 1 then
      message = message .. (', keeps %.1f %% of it'):format(result.kept * 100)
    end
    ask.tell(message)
  end)
end

local function refresh(bufnr)
  ask.execute(bufnr, 'refreshAdapter', place(bufnr), function(result)
    ask.tell('following ' .. table.concat(result.refreshed, ', '))
  end)
end

local function roll_back(bufnr)
  ask.execute(bufnr, 'rollBackAdapter', place(bufnr), function(result)
    ask.tell('adapter @ ' .. result.adapterCommit:sub(1, 6))
  end)
end

local function unload()
  ask.execute(nil, 'unloadModel', nil, function()
    ask.tell('the model is unloaded; :LspCode2LoraLoad loads it')
  end)
end

local function load()
  ask.execute(nil, 'loadModel', nil, function()
    ask.tell('loading the model')
  end)
end

local function logs()
  local path = vim.lsp.log.get_filename and vim.lsp.log.get_filename() or vim.lsp.get_log_path()
  vim.cmd.tabedit({ args = { path }, magic = { file = false, bar = false } })
  vim.cmd.normal({ args = { 'G' }, bang = true })
end

---@type table<string, { [1]: fun(bufnr: integer, options: table), desc: string }>
local of_buffers = {
  Toggle = {
    toggle,
    desc = 'suggestions off, and on again: everywhere, or in this language or folder',
    nargs = '?',
    complete = function()
      return SCOPES
    end,
  },
  Refresh = { refresh, desc = 'read HEAD again; undoes a roll-back' },
  RollBack = { roll_back, desc = 'the adapter before this one' },
  Compare = {
    function(bufnr)
      require('code2lora.compare').show(bufnr)
    end,
    desc = 'this cursor completed with and without the adapter',
  },
  History = {
    function(bufnr)
      require('code2lora.history').open(bufnr)
    end,
    desc = 'the commits that were followed, and what each adapter was worth',
  },
  Export = { export, desc = 'write the adapter as a PEFT folder', nargs = 1, complete = 'dir' },
}

---@type table<string, { [1]: fun(), desc: string }>
local of_the_server = {
  Status = {
    function()
      ask.execute(nil, 'showStatus') -- the server shows it
    end,
    desc = 'the adapter, and why there was no suggestion',
  },
  Unload = { unload, desc = 'free the memory of the model' },
  Load = { load, desc = 'load the model again' },
  Restart = {
    function()
      require('code2lora.restart').now()
    end,
    desc = 'end the server and start it again',
  },
  Logs = { logs, desc = 'what Neovim and the server logged' },
  Check = {
    function()
      vim.cmd.checkhealth('code2lora')
    end,
    desc = 'is the set-up sound?',
  },
}

local function options_of(command)
  return { desc = 'code2lora: ' .. command.desc, nargs = command.nargs or 0, complete = command.complete }
end

--- Make the commands of a buffer.
---@param bufnr integer
function M.create(bufnr)
  for name, command in pairs(of_buffers) do
    vim.api.nvim_buf_create_user_command(bufnr, 'LspCode2Lora' .. name, function(options)
      command[1](bufnr, options)
    end, options_of(command))
  end
end

--- Make those that are there before any server runs, and in buffers that none serves.
function M.create_for_the_server()
  for name, command in pairs(of_the_server) do
    vim.api.nvim_create_user_command('LspCode2Lora' .. name, function()
      command[1]()
    end, options_of(command))
  end
end

return M
