--- The server's status, as it last said it, for status lines.

local M = {}

---@class code2lora.Status content of `code2lora/statusChanged`
---@field busy boolean
---@field kind 'Normal'|'Warning'|'Error'|'Inactive'
---@field message string such as `adapter @ a1b2c3`
---@field root? string the repository it is about
---@field reason? { reason: string, message: string, detail: string } why nothing was offered last

---@type table<integer, code2lora.Status> by client
local said = {}

---@type string? while no server runs
local instead

--- Reasons that say no more than the status beside them.
local SAID_ALREADY = { NOT_READY = true, UNLOADED = true, FAILED = true }

---@param status code2lora.Status
---@param client_id integer
function M.changed(status, client_id)
  said[client_id], instead = status, nil
  vim.cmd.redrawstatus({ bang = true })
end

--- Forget a client that is gone; `message` stands until the next one speaks.
---@param client_id integer
---@param message? string
function M.gone(client_id, message)
  said[client_id], instead = nil, message
  vim.cmd.redrawstatus({ bang = true })
end

---@param bufnr integer
---@return code2lora.Status?
function M.of(bufnr)
  local client = vim.lsp.get_clients({ name = 'code2lora_lsp', bufnr = bufnr })[1]
  return client and said[client.id]
end

---@param bufnr integer
---@return string
function M.text(bufnr)
  local status = M.of(bufnr)
  if not status then
    return instead or ''
  end
  local reason = type(status.reason) == 'table' and status.reason
  if not reason or SAID_ALREADY[reason.reason] or status.kind == 'Inactive' then
    return status.message
  end
  return status.message .. ' · ' .. reason.message
end

return M
