if vim.g.loaded_code2lora then
  return
end
vim.g.loaded_code2lora = true

for _, name in ipairs({ 'accept', 'accept_word', 'accept_line', 'next' }) do
  local keys = ('<Plug>(code2lora-%s)'):format(name:gsub('_', '-'))
  vim.keymap.set('i', keys, function()
    require('code2lora')[name]()
  end, { desc = 'code2lora: ' .. name:gsub('_', ' ') })
end

require('code2lora.commands').create_for_the_server()

vim.api.nvim_create_autocmd('LspAttach', {
  group = vim.api.nvim_create_augroup('code2lora', { clear = true }),
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'code2lora_lsp' then
      require('code2lora').attach(client, event.buf)
    end
  end,
})
