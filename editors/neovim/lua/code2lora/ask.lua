--- Requests to the server, and what to say when they fail. Where no buffer is given, any server will do:
--- there is one for all buffers.

local M = {}

---@param message string
---@param level? integer of vim.log.levels
function M.tell(message, level)
  vim.notify('code2lora: ' .. message, level or vim.log.levels.INFO)
end

--- The client that serves a buffer; says so where none does.
---@param bufnr? integer
---@return vim.lsp.Client?
function M.client(bufnr)
  local client = vim.lsp.get_clients({ name = 'code2lora_lsp', bufnr = bufnr })[1]
  if not client then
    local what = bufnr and 'no server runs for this buffer' or 'no server runs'
    M.tell(what .. '; :LspCode2LoraRestart starts it, :LspCode2LoraCheck looks into it', vim.log.levels.WARN)
  end
  return client
end

local function answered(done)
  return function(err, result)
    if err then
      M.tell(err.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end
end

--- Send one of our own requests; `done` gets the result.
---@param bufnr? integer
---@param method string
---@param params table
---@param done fun(result: table)
function M.request(bufnr, method, params, done)
  local client = M.client(bufnr)
  if client then
    client:request(method, params, answered(done), bufnr)
  end
end

--- Run a command of the server with at most one argument; `done` gets the result.
---@param bufnr? integer
---@param name string without the `code2lora.`
---@param argument? table
---@param done? fun(result: table)
function M.execute(bufnr, name, argument, done)
  local client = M.client(bufnr)
  if client then
    local command = { title = name, command = 'code2lora.' .. name, arguments = { argument } }
    client:exec_cmd(command, { bufnr = bufnr }, answered(done))
  end
end

--- A null in JSON is `vim.NIL` where Neovim leaves it in.
---@param value any
function M.known(value)
  return value ~= nil and value ~= vim.NIL
end

return M
