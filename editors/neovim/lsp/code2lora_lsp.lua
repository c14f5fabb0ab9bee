---@brief
---
--- `code2lora-lsp`: https://arxiv.org/abs/2606.06492 as a local language server
---
--- Inline code completion from a small local model, with a LoRA adapter that follows every commit of
--- the repository. Neovim 0.12 shows it with `vim.lsp.inline_completion`; 0.11.3 gets an ordinary
--- completion item. The server's status in one line is in `vim.g.code2lora_status`.

local function ask_server(client, bufnr, command, done)
  return function()
    local argument = { uri = vim.uri_from_bufnr(bufnr) }
    local arguments = command:find('Adapter$') and { argument } or nil
    client:exec_cmd(
      { title = command, command = 'code2lora.' .. command, arguments = arguments },
      { bufnr = bufnr },
      function(err, result)
        local message = err and err.message or done and done(result)
        if message then
          vim.notify('code2lora: ' .. message, err and vim.log.levels.ERROR or vim.log.levels.INFO)
        end
      end
    )
  end
end

local commands = {
  { 'Refresh', 'refreshAdapter', function(r) return 'following ' .. table.concat(r.refreshed, ', ') end },
  { 'RollBack', 'rollBackAdapter', function(r) return 'adapter @ ' .. r.adapterCommit:sub(1, 6) end },
  { 'Toggle', 'toggleCompletions', function(r) return 'completions ' .. (r.enabled and 'on' or 'off') end },
  { 'Unload', 'unloadModel', function() return 'the model is unloaded; :LspCode2LoraLoad loads it' end },
  { 'Load', 'loadModel', function() return 'loading the model' end },
  { 'Status', 'showStatus' }, -- the server shows it by itself
}

---@type vim.lsp.Config
return {
  cmd = { 'code2lora-lsp' },
  filetypes = { 'python' },
  root_markers = { '.git' },
  settings = { code2lora = {} }, -- README.md, "Settings"; for example completion = { maxLines = 4 }
  handlers = {
    ['code2lora/statusChanged'] = function(_, status)
      vim.g.code2lora_status = status.message
      vim.cmd.redrawstatus({ bang = true })
    end,
  },
  on_attach = function(client, bufnr)
    for _, entry in ipairs(commands) do
      local name, command, done = unpack(entry)
      vim.api.nvim_buf_create_user_command(
        bufnr,
        'LspCode2Lora' .. name,
        ask_server(client, bufnr, command, done),
        { desc = 'code2lora: ' .. command }
      )
    end
  end,
}
