--- What `vim.lsp.enable('code2lora_lsp')` reads. The table for nvim-lspconfig is in nvim-lspconfig/.

-- A plug-in manager may put this folder on the path after Neovim has read plugin/ folders.
vim.cmd.runtime('plugin/code2lora.lua')

local restart = require('code2lora.restart')

---@type vim.lsp.Config
return {
  cmd = { 'code2lora-lsp' },
  filetypes = { 'python' },
  root_markers = { '.git' },
  reuse_client = restart.same_name,
  settings = { code2lora = {} }, -- for example completion = { maxLines = 4 }
  handlers = {
    ['code2lora/statusChanged'] = function(_, status, context)
      require('code2lora.status').changed(status, context.client_id)
    end,
    ['code2lora/historyChanged'] = function(_, changed)
      require('code2lora.history').changed(changed)
    end,
  },
  on_exit = restart.exited,
}
