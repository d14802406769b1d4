-- A sliding minute (requests, tokens) or a set of slots, shared by all workers. One key, so it works on a Cluster.
-- KEYS[1]  optyx:1:{<limit>:<kind>:<subject>}   a list of "when|how many|worker"
-- ARGV     action (draw, back, renew), kind, worker, amount, size, back
-- Answers  granted, left, lent, retry after in ms. `granting.py` says the same in Python, for Postgres.
local action, kind, worker = ARGV[1], ARGV[2], ARGV[3]
local amount, size, back = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local slots = kind == 'slots'
local WINDOW, SHARE, LEASE, MOST = 60, 1, 30, 64

local grants, used = {}, 0
local horizon = slots and now or now - WINDOW - SHARE
for _, line in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local at, count, who = string.match(line, '^([^|]+)|([^|]+)|(.*)$')
  at, count = tonumber(at), tonumber(count)
  if at > horizon and count > 0 then
    grants[#grants + 1] = { at, count, who }
    used = used + count
  end
end

local function take_back(n)
  for i = #grants, 1, -1 do
    if n <= 0 then break end
    if grants[i][3] == worker then
      local part = math.min(n, grants[i][2])
      grants[i][2] = grants[i][2] - part
      used, n = used - part, n - part
    end
  end
end

local granted, lent, wait = 0, 0, 1000
if action == 'back' then
  take_back(amount)
elseif action == 'renew' then
  local mine
  for _, g in ipairs(grants) do
    if g[3] == worker then mine = g end
  end
  if mine then
    used = used - mine[2] + amount
    mine[1], mine[2] = now + LEASE, amount
  else
    grants[#grants + 1] = { now + LEASE, amount, worker }
    used = used + amount
  end
else
  if back > 0 then take_back(back) end
  local left, others, seen = size - used, 0, {}
  for _, g in ipairs(grants) do
    if g[3] ~= worker and (slots or g[1] > now - SHARE - 1) then
      lent = lent + g[2]
      if not seen[g[3]] then
        seen[g[3]] = true
        others = others + 1
      end
    end
  end
  if left >= amount then
    granted = amount + math.min(math.floor((left - amount) / (8 * (others + 1))), amount * MOST)
    used = used + granted
    local mine
    if slots then
      for _, g in ipairs(grants) do
        if g[3] == worker then mine = g end
      end
    end
    if mine then
      mine[1], mine[2] = now + LEASE, mine[2] + granted
    else
      grants[#grants + 1] = { slots and now + LEASE or now, granted, worker }
    end
  elseif not slots then
    local missing = amount - left
    wait = WINDOW * 1000
    for _, g in ipairs(grants) do
      missing = missing - g[2]
      if missing <= 0 then
        wait = math.max(1000, math.floor((g[1] - horizon) * 1000))
        break
      end
    end
  end
end

redis.call('DEL', KEYS[1])
for _, g in ipairs(grants) do
  if g[2] > 0 then
    redis.call('RPUSH', KEYS[1], string.format('%.6f|%d|%s', g[1], g[2], g[3]))
  end
end
redis.call('EXPIRE', KEYS[1], 120)
return { granted, size - used, lent, wait }
