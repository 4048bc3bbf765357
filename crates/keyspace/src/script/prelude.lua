-- What every script finds around it. It runs once, when the interpreter is made, with Rust's functions in `native`; it returns
-- what Rust calls. All names that scripts may see are put into one table here, and whatever scripts could share with each other
-- is made read-only: a script begins as if it were the first (R13).

local native = ...
local raw = {
  next = next, rawset = rawset, rawget = rawget, pcall = pcall, xpcall = xpcall, tostring = tostring, type = type,
  setmetatable = setmetatable, getmetatable = getmetatable, error = error, select = select, unpack = unpack,
  insert = table.insert, remove = table.remove, sort = table.sort, concat = table.concat,
  rep = string.rep, match = string.match, gsub = string.gsub, find = string.find,
}
local charge = native.charge
local select, unpack, xpcall = select, unpack, xpcall

local function copy(lib)
  local result = {}
  for name, value in raw.next, lib do
    result[name] = value
  end
  return result
end

-- Tables that no script may change.
local protected = {}

local function refuse()
  raw.error("Attempt to modify a readonly table", 2)
end

-- What a script gets in the place of a metatable that it must not see.
local guard = {}
protected[guard] = {}
raw.setmetatable(guard, { __newindex = refuse, __metatable = guard })

-- A view of `content` that can be read only. `missing` is called for what is not there.
local function read_only(content, missing)
  if missing then
    raw.setmetatable(content, { __index = missing })
  end
  local meta = { __index = content, __newindex = refuse, __metatable = guard }
  local view = raw.setmetatable({}, meta)
  protected[view] = content
  return view, meta
end

local function check_writable(t)
  if protected[t] then
    raw.error("Attempt to modify a readonly table", 0)
  end
end

-- A key whose place in a table depends on its address: no two nodes agree on it.
local function is_reference(key)
  local kind = raw.type(key)
  return kind == "table" or kind == "function" or kind == "thread" or kind == "userdata"
end

-- The order of a table with such keys is that of addresses, as far as it is any.
local function check_order(t)
  local count = 0
  for key in raw.next, t do
    count = count + 1
    if is_reference(key) then
      raw.error("the order of a table with tables or functions as keys is not the same on every node", 3)
    end
  end
  charge(count)
end

local builtins = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, rawequal = rawequal, rawget = rawget,
  select = select, tonumber = tonumber, type = type, unpack = unpack, KEYS = {}, ARGV = {},
}

function builtins.next(t, key)
  if key == nil and raw.type(t) == "table" then
    t = protected[t] or t
    check_order(t)
  end
  return raw.next(protected[t] or t, key)
end

function builtins.pairs(...)
  local t = ...
  if raw.type(t) ~= "table" then
    local got = raw.select("#", ...) == 0 and "no value" or raw.type(t)
    raw.error("bad argument #1 to 'pairs' (table expected, got " .. got .. ")", 2)
  end
  t = protected[t] or t
  check_order(t)
  return raw.next, t, nil
end

function builtins.rawset(t, key, value)
  check_writable(t)
  return raw.rawset(t, key, value)
end

function builtins.setmetatable(t, meta)
  check_writable(t)
  return raw.setmetatable(t, meta)
end

function builtins.getmetatable(value)
  if raw.type(value) == "string" then
    return nil
  end
  return raw.getmetatable(value)
end

-- Addresses never show.
function builtins.tostring(...)
  if raw.select("#", ...) == 0 then
    raw.error("bad argument #1 to 'tostring' (value expected)", 2)
  end
  local value = (...)
  local kind = raw.type(value)
  if kind == "table" or kind == "function" or kind == "thread" or kind == "userdata" then
    local meta = raw.getmetatable(value)
    if raw.type(meta) == "table" and meta.__tostring then
      return raw.tostring(value)
    end
    return value == native.null and raw.tostring(value) or kind
  end
  return raw.tostring(value)
end

-- How much memory there is and when it is freed is no script's business.
function builtins.collectgarbage()
  return 0
end
function builtins.gcinfo()
  return 0, 0
end

-- What the caller of a failed redis.call gets to see is a table with the error.
-- An error of a function that stands here belongs to the line that has called it.
local function place_of(err)
  local text = raw.type(err) == "string" and raw.match(err, "^prelude:%d+: (.*)$")
  if not text then
    return err
  end
  local source, line = native.place()
  return source and raw.gsub(source, "^@", "") .. ":" .. line .. ": " .. text or text
end

-- Memory has run out. Not every interpreter has the same of it: in one that is shared the run ends here.
local function check_memory(err)
  if raw.type(err) == "string" and raw.find(err, "not enough memory", 1, true) then
    native.no_memory()
  end
end

-- A script that has spent all it may cannot go on by catching that.
local function caught(ok, err, ...)
  if not ok then
    native.check()
    if raw.type(err) == "userdata" then
      err = native.error_of(err)
    end
    if raw.type(err) == "table" and raw.type(raw.rawget(err, "err")) == "string" then
      err = err.err
    end
    check_memory(err)
    return false, place_of(err)
  end
  return ok, err, ...
end

local function checked(ok, ...)
  if not ok then
    native.check()
    check_memory((...))
  end
  return ok, ...
end

function builtins.pcall(...)
  return caught(raw.pcall(...))
end

function builtins.xpcall(f, handler, ...)
  return checked(raw.xpcall(f, function(err)
    if raw.type(err) == "userdata" then
      err = native.error_of(err)
    end
    check_memory(err)
    return handler(err)
  end, ...))
end

local lib_string = copy(string)
for name, f in raw.next, native.string do
  lib_string[name] = f
end
function lib_string.rep(s, n)
  local len = raw.type(s) == "number" and 24 or raw.type(s) == "string" and #s or 0
  charge(len * (raw.type(n) == "number" and n or 0) / 16)
  return raw.rep(s, n)
end

local lib_table = copy(table)
function lib_table.insert(t, ...)
  check_writable(t)
  if raw.select("#", ...) == 2 and raw.type(t) == "table" then
    charge(#t)
  end
  return raw.insert(t, ...)
end
function lib_table.remove(t, ...)
  check_writable(t)
  if raw.type(t) == "table" then
    charge(#t)
  end
  return raw.remove(t, ...)
end
function lib_table.sort(t, ...)
  check_writable(t)
  if raw.type(t) == "table" then
    charge(#t * 20)
  end
  return raw.sort(t, ...)
end
function lib_table.concat(t, ...)
  if raw.type(t) == "table" then
    local bytes = 0
    for _, part in ipairs(t) do
      bytes = bytes + (raw.type(part) == "string" and #part or 24)
    end
    charge(bytes / 8)
  end
  return raw.concat(t, ...)
end

local lib_math = copy(math)
for name, f in raw.next, native.math do
  lib_math[name] = f
end

local lib_coroutine = copy(coroutine)
function lib_coroutine.resume(...)
  return caught(coroutine.resume(...))
end

builtins.string = read_only(lib_string)
builtins.table = read_only(lib_table)
builtins.math = read_only(lib_math)
builtins.coroutine = read_only(lib_coroutine)
builtins.os = read_only({ clock = native.clock })
for name, lib in raw.next, native.libraries do
  builtins[name] = read_only(lib)
end

local lib_redis = copy(native.redis)
lib_redis.register_function = nil
builtins.redis = read_only(lib_redis)

-- What a library finds while it is being loaded.
local function missing(_, name)
  raw.error("Script attempted to access nonexistent global variable '" .. raw.tostring(name) .. "'", 2)
end
local loading = {}
for name, value in raw.next, lib_redis do
  if raw.find(name, "^LOG_") or raw.find(name, "^REDIS_VERSION") then
    loading[name] = value
  end
end
loading.log, loading.register_function = lib_redis.log, native.redis.register_function
local load_globals = raw.setmetatable({ redis = read_only(loading, missing) }, { __index = missing })

-- The methods of strings are those of the library that scripts see.
local string_meta = raw.getmetatable("")
string_meta.__index = lib_string
string_meta.__metatable = false

local globals, globals_meta = read_only(builtins, missing)
builtins._G = globals

function builtins.loadstring(code, name)
  return native.loadstring(code, name, globals)
end

function builtins.load(reader, name)
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then
      break
    end
    parts[#parts + 1] = part
  end
  return native.loadstring(raw.concat(parts), name, globals)
end

-- Turns any error into a table: err, and where it came from.
local function handler(err)
  if raw.type(err) == "userdata" then
    err = native.error_of(err)
  end
  err = place_of(err)
  if raw.type(err) ~= "table" then
    err = { err = "ERR " .. raw.tostring(err) }
  elseif raw.type(raw.rawget(err, "err")) ~= "string" then
    err = { err = "ERR unknown error" }
  end
  local source, line = native.place()
  return { err = err.err, source = source, line = line }
end

local function run(f, keys, args)
  globals_meta.__index = builtins
  builtins.KEYS, builtins.ARGV = keys, args
  return xpcall(f, handler)
end

-- A function of a library gets its keys and arguments as parameters, and sees no others.
local function call(f, keys, args)
  globals_meta.__index = builtins
  builtins.KEYS, builtins.ARGV = nil, nil
  return xpcall(function()
    return f(keys, args)
  end, handler)
end

-- Keys and arguments of a few words, of which the first `count` are keys.
local function split(count, ...)
  if count == 0 then
    return {}, { ... }
  end
  return { unpack({ ... }, 1, count) }, { select(count + 1, ...) }
end

-- Mostly there is one key.
local function run_one(f, key, ...)
  globals_meta.__index = builtins
  builtins.KEYS, builtins.ARGV = { key }, { ... }
  return xpcall(f, handler)
end

local function run_words(f, count, ...)
  if count == 1 then
    return run_one(f, ...)
  end
  return run(f, split(count, ...))
end

local function call_words(f, count, ...)
  return call(f, split(count, ...))
end

local function loaded(...)
  globals_meta.__index = builtins
  return ...
end

local function load(f)
  builtins.KEYS, builtins.ARGV = nil, nil
  globals_meta.__index = load_globals
  return loaded(xpcall(f, handler))
end

return {
  globals = globals, run = run, run_words = run_words, call = call, call_words = call_words, load = load,
}
