--- A server that ended without being asked to comes back, a little later each time.

local status = require('code2lora.status')

local ask = require('code2lora.ask')

local M = {}

local NAME = 'code2lora_lsp'
local MOST = 5
local FIRST_MS = 1000
local STEADY_MS = 60000
local PATIENCE_MS = 3000

---@type table<integer, 'stop'|'restart'> clients that were asked to end
local asked = {}

---@type { config: vim.lsp.ClientConfig, buffers: integer[] }? what ran last
local last

local n_failures, started_ms = 0, 0

--- Learn of it when something asks the client to stop.
---@param client vim.lsp.Client
function M.watch(client)
  local stop = client.stop
  client.stop = function(self, ...)
    asked[self.id] = asked[self.id] or 'stop'
    return stop(self, ...)
  end
end

--- `on_exit` of the client's configuration. Runs outside Neovim's main loop.
---@param code integer
---@param signal integer
---@param client_id integer
function M.exited(code, signal, client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  local wish = asked[client_id]
  asked[client_id] = nil
  if not client then
    return
  end
  local buffers = vim.tbl_keys(client.attached_buffers)
  last = { config = client.config, buffers = #buffers > 0 and buffers or last and last.buffers or {} }
  vim.schedule(function()
    if vim.v.exiting ~= vim.NIL or wish == 'stop' or (code == 0 and signal == 0 and not wish) then
      status.gone(client_id)
    elseif wish == 'restart' then
      n_failures = 0
      status.gone(client_id, 'starting the server')
      M._start()
    else
      M._start_later(client_id, ('exit code %d, signal %d'):format(code, signal))
    end
  end)
end

function M._start_later(client_id, how)
  if vim.uv.now() - started_ms > STEADY_MS then
    n_failures = 0
  end
  n_failures = n_failures + 1
  if n_failures > MOST then
    local message = ('the server ended %d times (%s)'):format(n_failures, how)
    status.gone(client_id, message)
    vim.notify(
      ('code2lora: %s; see :LspCode2LoraLogs, then :LspCode2LoraRestart'):format(message),
      vim.log.levels.ERROR
    )
    return
  end
  local delay_ms = FIRST_MS * 2 ^ (n_failures - 1)
  status.gone(client_id, ('the server ended; back in %d s'):format(delay_ms / 1000))
  vim.defer_fn(M._start, delay_ms)
end

--- Start what ran last, for the buffers that it served.
function M._start()
  started_ms = vim.uv.now()
  for _, bufnr in ipairs(last and last.buffers or {}) do
    if vim.api.nvim_buf_is_loaded(bufnr) then
      vim.lsp.start(last.config, { bufnr = bufnr, reuse_client = M.same_name })
    end
  end
end

--- `reuse_client`: one server, and one model in memory, for all repositories of an editor.
---@param client vim.lsp.Client
---@param config vim.lsp.ClientConfig
---@return boolean
function M.same_name(client, config)
  return client.name == config.name and not client:is_stopped()
end

--- Why the server cannot be started, with what to do; `nil` where it can.
---@return string?
local function hindrance()
  if not vim.lsp.is_enabled(NAME) then
    return "vim.lsp.enable('code2lora_lsp') starts the server"
  end
  local config = vim.lsp.config[NAME]
  if type(config.cmd) == 'table' and vim.fn.executable(config.cmd[1]) == 0 then
    local remedy = "name it: vim.lsp.config('code2lora_lsp', { cmd = { '…' } }), then :LspCode2LoraRestart"
    return ('%s was not found; %s'):format(config.cmd[1], remedy)
  end
  local function is_served(bufnr)
    return vim.api.nvim_buf_is_loaded(bufnr) and vim.list_contains(config.filetypes, vim.bo[bufnr].filetype)
  end
  if config.filetypes and not vim.iter(vim.api.nvim_list_bufs()):any(is_served) then
    return 'the server starts with the first file of: ' .. table.concat(config.filetypes, ', ')
  end
end

--- Start a server where none runs, with the configuration as it is now.
local function start_anew()
  if last and not vim.lsp.is_enabled(NAME) then
    return M._start() -- it was started otherwise
  end
  local why_not = hindrance()
  if why_not then
    ask.tell(why_not, vim.log.levels.WARN)
  else
    vim.lsp.enable(NAME)
  end
end

--- End the server and start it again; where none runs, just start it.
function M.now()
  local client = vim.lsp.get_clients({ name = NAME })[1]
  n_failures = 0
  if client then
    asked[client.id] = 'restart'
    client:stop()
    vim.defer_fn(function()
      if vim.lsp.get_client_by_id(client.id) then
        client:stop(true)
      end
    end, PATIENCE_MS)
  else
    start_anew()
  end
end

return M
