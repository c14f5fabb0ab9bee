---@brief
---
--- `code2lora-lsp`: https://arxiv.org/abs/2606.06492 as a local language server
---
--- Code completion from a small model on your own machine, with an adapter that follows every commit of
--- the repository. `pip install` its wheel, or clone it and `make demo`; nothing is downloaded later.
---
--- Neovim 0.12 shows suggestions as ghost text:
--- ```lua
--- vim.lsp.enable('code2lora_lsp')
--- vim.lsp.inline_completion.enable()
--- vim.keymap.set('i', '<C-f>', vim.lsp.inline_completion.get)
--- ```
--- Neovim 0.11.3 gets one ordinary completion item, for `<C-x><C-o>` and completion plug-ins.
---
--- The project's own `editors/neovim` adds commands, keys for the next word and the next line, a
--- status line and `:checkhealth code2lora`.

---@type vim.lsp.Config
return {
  cmd = { 'code2lora-lsp' },
  filetypes = { 'python' },
  root_markers = { '.git' },
  settings = {
    code2lora = {},
  },
}
