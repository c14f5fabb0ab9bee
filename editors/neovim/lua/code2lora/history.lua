--- `code2lora/history` as a buffer: what was followed, and what each adapter was worth.

local ask = require('code2lora.ask')

local M = {}

---@type table<integer, { of: integer, root?: string, read: fun() }> the views that are open, and of which buffer
local views = {}

local BAR_WIDTH = 6
local BARS = { '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█' }

local function number(format, value)
  return ask.known(value) and format:format(value) or '–'
end

--- Right-aligned in a column of so many screen cells.
local function right(text, width)
  return (' '):rep(width - vim.fn.strdisplaywidth(text)) .. text
end

--- How much less a token of the commit's lines surprised, as a bar and in per cent.
local function gain(commit)
  if not (ask.known(commit.withoutNats) and ask.known(commit.withNats)) or commit.withoutNats <= 0 then
    return (' '):rep(13)
  end
  local share = 1 - commit.withNats / commit.withoutNats
  local eighths = math.floor(math.min(math.max(share, 0), 1) * BAR_WIDTH * #BARS + 0.5)
  local bar = ('█'):rep(math.floor(eighths / #BARS)) .. (BARS[eighths % #BARS] or '')
  return bar .. right(('%+.0f %%'):format(share * 100), 13 - vim.fn.strdisplaywidth(bar))
end

--- One line of the table. The mark of an adapter made anew stands behind what it moved.
local function columns(commit, when, tokens, moved, mark, cosine, without, with, gained, subject)
  return table.concat({
    commit .. (' '):rep(7 - #commit),
    when .. (' '):rep(16 - #when),
    right(tokens, 7),
    right(moved, 6) .. mark,
    right(cosine, 6),
    right(without, 7),
    right(with, 5),
    gained,
    subject,
  }, ' ')
end

local HEADER =
  columns('commit', 'when', 'tokens', 'moved', ' ', 'cosine', 'without', 'with', 'gain         ', 'subject')

local function row(commit)
  return columns(
    commit.commit:sub(1, 7),
    (commit.time:sub(1, 16):gsub('T', ' ')),
    number('%d', commit.nTokens),
    number('%.3f', commit.distance),
    commit.reanchored and '↺' or ' ',
    number('%.3f', commit.referenceCosine),
    number('%.2f', commit.withoutNats),
    number('%.2f', commit.withNats),
    gain(commit),
    commit.subject
  )
end

local function latency_line(latency)
  local text = 'answers   '
  if not latency or (latency.n or 0) == 0 then
    return text .. 'none yet in this session'
  end
  text = text .. ('%d in this session'):format(latency.n)
  if ask.known(latency.p50Ms) then
    text = text .. (', half within %.0f ms, 95 %% within %.0f ms'):format(latency.p50Ms, latency.p95Ms)
  end
  if ask.known(latency.coldP50Ms) then
    text = text .. ('; cold %.0f ms and %.0f ms'):format(latency.coldP50Ms, latency.coldP95Ms)
  end
  return text
end

local function cache_line(cache)
  if not cache or cache.asked == 0 then
    return 'cache     nothing yet'
  end
  local reused = ask.known(cache.reusedShare) and ('%.0f %%'):format(cache.reusedShare * 100) or '–'
  return ('cache     %s of the prompts reused; %d of %d answers without the model'):format(
    reused,
    cache.withoutModel,
    cache.asked
  )
end

local function acceptance_line(acceptance)
  if not acceptance or acceptance.enabled == false then
    return 'accepted  not counted (metrics.enabled is off)'
  end
  return ('accepted  %d whole, %d lines, %d words of %d shown; %d of %d kept after 30 s'):format(
    acceptance.accepted,
    acceptance.acceptedLines,
    acceptance.acceptedWords,
    acceptance.shown,
    acceptance.keptAfter30s,
    acceptance.judged
  )
end

--- The buffer's text.
---@param result table the answer to `code2lora/history`
---@return string[]
function M.lines(result)
  local root = ask.known(result.root) and vim.fn.fnamemodify(result.root, ':~')
  local lines = { root and 'Followed in ' .. root or 'No repository is followed here', '' }
  if #result.commits > 0 then
    lines[#lines + 1] = HEADER
    vim.list_extend(lines, vim.tbl_map(row, result.commits))
    lines[#lines + 1] = ''
  end
  return vim.list_extend(lines, {
    latency_line(result.latency),
    cache_line(result.cache),
    acceptance_line(result.acceptance),
    '',
    'moved: how far the adapter moved, ↺ where it was made anew. without, with: nats per token of the',
    'lines this commit added, before they were known; lower is better.      q closes, R reads again',
  })
end

local function show(view, result)
  vim.bo[view].modifiable = true
  vim.api.nvim_buf_set_lines(view, 0, -1, false, M.lines(result))
  vim.bo[view].modifiable = false
end

local function new_view(bufnr, read)
  vim.cmd('botright new')
  local view = vim.api.nvim_get_current_buf()
  vim.bo[view].buftype, vim.bo[view].bufhidden, vim.bo[view].swapfile = 'nofile', 'wipe', false
  vim.bo[view].filetype = 'code2lorahistory'
  vim.wo.wrap, vim.wo.number, vim.wo.list = false, false, false
  vim.api.nvim_buf_set_name(view, ('code2lora://%d/history'):format(bufnr))
  vim.fn.matchadd('Title', '\\%1l.*')
  vim.fn.matchadd('Comment', '^commit .*')
  vim.fn.matchadd('Identifier', '^\\x\\{7}\\ze ')
  vim.fn.matchadd('String', '[▏▎▍▌▋▊▉█]\\+')
  vim.fn.matchadd('Comment', '^\\(moved\\|lines this\\).*')
  vim.keymap.set('n', 'q', '<Cmd>bwipeout<CR>', { buffer = view, nowait = true })
  vim.keymap.set('n', 'R', read, { buffer = view, nowait = true })
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = view,
    callback = function()
      views[view] = nil
    end,
  })
  return view
end

local function view_of(bufnr)
  for view, shown in pairs(views) do
    if shown.of == bufnr then
      return view
    end
  end
end

--- Show the history of the repository of a buffer in a window below, or go to the one that shows it.
---@param bufnr integer
function M.open(bufnr)
  local uri = vim.uri_from_bufnr(bufnr) -- the view may outlive the buffer
  local view
  local function read()
    ask.request(nil, 'code2lora/history', { uri = uri }, function(result)
      if not view then
        view = view_of(bufnr) or new_view(bufnr, read)
        vim.api.nvim_set_current_win(vim.fn.win_findbuf(view)[1])
      elseif not views[view] then
        return -- closed meanwhile
      end
      views[view] = { of = bufnr, root = ask.known(result.root) and result.root or nil, read = read }
      show(view, result)
    end)
  end
  read()
end

--- `code2lora/historyChanged`: what is shown of that repository is read again.
---@param changed { root: string, commit: string }
function M.changed(changed)
  for _, view in pairs(views) do
    if view.root == changed.root then
      view.read()
    end
  end
end

return M
