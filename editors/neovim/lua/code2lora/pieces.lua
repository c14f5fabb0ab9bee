--- Parts of a suggestion: what "accept word" and "accept line" take of it. Pure functions of strings.

local M = {}

--- White space and the run of word characters, or of other characters, behind it.
--- Bytes above 127 count as word characters, so no character is cut in two.
---@param text string
---@return string
function M.word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_\128-\255]+') or text
end

--- Up to the end of the line; where the text begins with a line break, that and the next line.
---@param text string
---@return string
function M.line(text)
  return text:match('^\n?[^\n]+') or text
end

---@param text string
---@return string
function M.whole(text)
  return text
end

return M
