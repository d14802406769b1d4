-- A sliding minute (requests, tokens) or a set of slots, shared by all workers. One key, so it works on a Cluster.
-- KEYS[1]  optyx:2:{<limit>:<kind>:<subject>}   a list of "when|how many|in use|worker"; the worker is empty once it does not matter
-- ARGV     action (draw, back, renew), kind, worker, amount, size, held, back ("age:amount,..."), now ("": the server's clock)
-- Answers  granted, left, lent, retry after in ms, ours. `granting.py` says the same in Python, for Postgres.
local action, kind, worker = ARGV[1], ARGV[2], ARGV[3]
local amount, size, held = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now = tonumber(ARGV[8])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local slots = kind == 'slots'
local WINDOW, SHARE, LEASE, MOST, RECENT, BUCKETS = 60, 0.4, 30, 192, 1.5, 10

local grants = {}
local horizon = slots and now or now - WINDOW - SHARE
for _, line in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local at, count, used, who = string.match(line, '^([^|]+)|([^|]+)|([^|]+)|(.*)$')
  at, count, used = tonumber(at), tonumber(count), tonumber(used)
  if at > horizon then grants[#grants + 1] = { at, count, used, who } end
end

local function mine()
  for _, g in ipairs(grants) do
    if g[4] == worker then return g end
  end
end

local function drop_empty()
  local kept = {}
  for _, g in ipairs(grants) do
    if g[2] > 0 then kept[#kept + 1] = g end
  end
  grants = kept
end

-- out of the newest entries that are not younger than the part
local function take_back()
  for age, part in string.gmatch(ARGV[7], '([^:,]+):([^:,]+)') do
    local youngest, n = now - tonumber(age) + 1 / BUCKETS, tonumber(part)
    for i = #grants, 1, -1 do
      if n > 0 and grants[i][1] <= youngest then
        local taken = math.min(n, grants[i][2])
        grants[i][2], n = grants[i][2] - taken, n - taken
      end
    end
  end
  drop_empty()
end

local function merge_old()
  local merged = {}
  for _, g in ipairs(grants) do
    local last = merged[#merged]
    if g[1] > now - RECENT then
      merged[#merged + 1] = g
    elseif last and last[4] == '' and math.floor(last[1] * BUCKETS) == math.floor(g[1] * BUCKETS) then
      last[1], last[2] = math.max(last[1], g[1]), last[2] + g[2]
    else
      g[4] = ''
      merged[#merged + 1] = g
    end
  end
  grants = merged
end

local function sum()
  local total = 0
  for _, g in ipairs(grants) do total = total + g[2] end
  return total
end

local function draw_slots()
  local left, lent, others = size - sum(), 0, 0
  for _, g in ipairs(grants) do
    if g[4] ~= worker then lent, others = lent + g[2] - g[3], others + 1 end
  end
  local granted, own = 0, mine()
  if left >= amount and amount > 0 then
    granted = amount * (1 + math.min(math.floor((left - amount) / (8 * (others + 1) * amount)), MOST))
  end
  if granted > 0 then
    if not own then
      own = { now, 0, 0, worker }
      grants[#grants + 1] = own
    end
    own[1], own[2] = now + LEASE, own[2] + granted
  end
  return { granted, left - granted, lent, granted > 0 and 0 or 1000, own and own[2] or 0 }
end

local function draw_rate()
  take_back()
  merge_old()
  local left, lent, others, seen = size - sum(), 0, 0, {}
  for _, g in ipairs(grants) do
    if g[4] ~= '' and g[4] ~= worker and g[1] > now - 2 * SHARE then
      lent = lent + g[2]
      if not seen[g[4]] then
        seen[g[4]] = true
        others = others + 1
      end
    end
  end
  local granted, wait = 0, 0
  if left >= amount and amount > 0 then
    granted = amount * (1 + math.min(math.floor((left - amount) / (8 * (others + 1) * amount)), MOST))
  end
  if granted > 0 then
    grants[#grants + 1] = { now, granted, 0, worker }
  else
    local missing = amount - left
    wait = WINDOW * 1000
    for _, g in ipairs(grants) do
      missing = missing - g[2]
      if missing <= 0 then
        wait = math.max(1, math.floor((g[1] - horizon) * 1000))
        break
      end
    end
  end
  return { granted, left - granted, lent, wait, 0 }
end

local function renew_slots()
  local own = mine()
  if not own then
    own = { now, held, held, worker }
    grants[#grants + 1] = own
  end
  own[1], own[2] = now + LEASE, math.min(own[2], amount)
  own[3] = math.min(own[3], own[2])
  drop_empty()
  return { 0, size - sum(), 0, 0, own[2] }
end

local function give_back()
  if slots then
    local own = mine()
    if own then
      own[2] = math.max(0, own[2] - amount)
      own[3] = own[2]
    end
    drop_empty()
  else
    take_back()
  end
  return { 0, size - sum(), 0, 0, 0 }
end

local answer
if action == 'back' then
  answer = give_back()
elseif action == 'renew' then
  answer = renew_slots()
elseif slots then
  answer = draw_slots()
else
  answer = draw_rate()
end

local lines = {}
for i, g in ipairs(grants) do lines[i] = string.format('%.6f|%d|%d|%s', g[1], g[2], g[3], g[4]) end
redis.call('DEL', KEYS[1])
for i = 1, #lines, 100 do redis.call('RPUSH', KEYS[1], unpack(lines, i, math.min(i + 99, #lines))) end
redis.call('EXPIRE', KEYS[1], 120)
return answer
