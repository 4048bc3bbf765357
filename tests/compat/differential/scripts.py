"""Scripts: what the language and its libraries answer, and what commands answer within them."""

CASES = r'''
return {tostring(bit.band(0xffffffff,1)), tostring(bit.bnot(1)), bit.tohex(255), bit.tohex(-1,4), tostring(bit.lshift(1,31)), tostring(bit.rol(0x12345678,12)), tostring(bit.bswap(0x12345678)), tostring(bit.tobit(2^32+5)), tostring(bit.arshift(-256,4)), bit.tohex(1,-4)}
return bit.band('x')
return bit.band()
return {cjson.encode({1,2,3}), cjson.encode({}), cjson.encode({a=1}), cjson.encode({[1]=1,[3]=3}), cjson.encode(1.5), cjson.encode('a/b"\\\n\1\127é'), cjson.encode(1e20), cjson.encode(0.1), cjson.encode(true), cjson.encode(cjson.null), cjson.encode(12345678901234567)}
return cjson.encode({[1]=1,[30]=3})
return cjson.encode(0/0)
return cjson.encode(function() end)
return cjson.decode('[1,')
return cjson.decode('{x}')
return cjson.decode('')
return cjson.decode('{"a":1,}')
return cjson.decode('{"a" 1}')
return cjson.decode('[1 2]')
return cjson.decode('{"a":1 "b"}')
return cjson.decode('"abc')
return cjson.decode('"a\\x"')
return cjson.decode('"\\ud800"')
return cjson.decode('tru')
return cjson.decode('-')
return cjson.decode('01')
return tostring(cjson.decode('0x1F'))
return tostring(cjson.decode('1e3'))
return tostring(cjson.decode('-1.25E-2'))
return tostring(cjson.decode(' [1] ')[1])
return cjson.decode(' "x" ')
local t=cjson.decode('[1,2.5,"a\\u00e9\\ud83d\\ude00",null,true,{"a":[]}]') return {t[1],tostring(t[2]),t[3],tostring(t[4]),tostring(t[5]),type(t[6].a)}
local t={} for i=1,1100 do t={t} end return cjson.encode(t)
return cjson.decode(string.rep('[',1100))
return cjson.encode({[1.5]=1})
return cjson.encode({[cjson.null]=1})
return {cjson._NAME, cjson._VERSION}
return cjson.decode('[1]x')
return cjson.decode(5)
return cjson.decode({})
return cjson.encode()
return cjson.encode(1,2)
return {pcall(cjson.decode,'x')}
local ok,e=pcall(cjson.decode,'x') return type(e)
local ok,e=pcall(redis.call,'incr') return type(e)
return cmsgpack.pack(1,2,3,-1,-33,128,256,65536,2^40,-129,-32769,-2^40,1.5,0.1,'x',string.rep('y',40),string.rep('z',300),true,false,nil)
return cmsgpack.pack({1,2,3})
return cmsgpack.pack({a=1})
return cmsgpack.pack({})
return cmsgpack.pack({1,2,nil,4})
return cmsgpack.unpack(cmsgpack.pack({1,2,{3,'x'}}))
return {cmsgpack.unpack(cmsgpack.pack(1,2,3))}
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3))}
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),1)}
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),1,1)}
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),9)}
return cmsgpack.unpack('\218')
return cmsgpack.unpack('\193')
return cmsgpack.unpack('')
return cmsgpack.unpack()
return cmsgpack.pack()
local t={} for i=1,20 do t={t} end return cmsgpack.pack(t)
return cmsgpack.unpack(cmsgpack.pack({[1]='a',[2]='b',x='c'})).x
return struct.pack('HH',1,2)
return struct.pack('>I2i4d',1,-2,1.5)
return {struct.unpack('HH',struct.pack('HH',1,2))}
return {struct.unpack('>I2i4',struct.pack('>I2i4',65535,-2))}
return struct.pack('s','abc')
return {struct.unpack('s','abc\0def')}
return {struct.unpack('c0',struct.pack('Bc0',3,'abc'))}
return {struct.unpack('Bc0',struct.pack('Bc0',3,'abc'))}
return struct.size('i4d')
return struct.size('!i1d')
return struct.size('s')
return struct.unpack('I4','ab')
return struct.pack('z',1)
return struct.pack('i99',1)
return struct.pack('!4 i1 i4',1,2)
return {struct.unpack('b','\255')}
return {struct.unpack('B','\255')}
return struct.pack('c5','abc')
return {struct.unpack('I2','abcdef',3)}
return {struct.unpack('I2','abcdef',0)}
return {struct.unpack('I2','abcdef',100)}
return struct.pack('i')
return struct.pack('i','x')
return {string.find('hello world','o w')}
return {string.find('hello','l+')}
return {string.find('hello','(l)(l)')}
return {string.find('hello','l',1,true)}
return {string.find('hello','',10)}
return {string.find('hello','xyz')}
return {string.match('key=val','(%w+)=(%w+)')}
return {string.match('  trim  ','^%s*(.-)%s*$')}
return {string.gsub('hello world','o','0')}
return {string.gsub('hello','l','%0%0')}
return {string.gsub('hello','(h)(e)','%2%1')}
return {string.gsub('abc','%w',{a='1',b=true})}
return {string.gsub('abc','%w',function(c) return c..c end)}
return {string.gsub('abc','','-')}
return {string.gsub('abc','b','%9')}
return {string.gsub('abc','b','%')}
return {string.gsub('abc',nil,'x')}
return {string.gsub('abc','b',true)}
local r={} for k,v in string.gmatch('a=1,b=2','(%w)=(%w)') do r[#r+1]=k..v end return r
return string.match('x','[a')
return string.match('x','%')
return string.format('%d %s %5.2f %q %x', 3, 'a', 1.5, 'b"', 255)
return string.format('%s', {})
return string.format('%d', 'x')
return ('x'):rep(3)
return ('abc'):upper():lower():len()
return string.rep('x',-1)
return string.byte('A')
return {string.byte('abc',1,-1)}
return string.char(72,105)
return string.reverse('abc')
return string.sub('hello',2,-2)
return table.concat({1,2,'x'},'-')
local t={3,1,2} table.sort(t) return t
local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t
local t={1,2,3} table.insert(t,2,9) table.remove(t,1) return t
table.insert(redis,1)
return table.getn({1,2})
return tostring(1e15)..tostring(2^53)..tostring(0.1)..tostring(-0)..tostring(1/0)
return math.floor(3.7)
return tostring(math.huge)
return math.max(1,5,3)
return tostring(math.sqrt(2))
return tostring(math.pi)
return math.fmod(7,3)
return tostring(2^0.5)
return {1,2,3,nil,5}
return {1,{2,{3}}}
return nil
return true
return false
return {true,false}
return 1e20
return -1.9
return {ok='x'}
return {err='MYERR x'}
return {err='noword'}
return redis.error_reply('MYERR x')
return redis.error_reply('noword')
return redis.error_reply('-lead x')
return redis.error_reply(1)
return redis.error_reply()
return redis.status_reply()
return redis.status_reply('A')
return redis.sha1hex()
return redis.sha1hex(1)
return redis.log(1)
return redis.log('x','y')
return redis.log(9,'y')
return redis.set_repl(1)
return redis.set_repl(99)
return redis.replicate_commands()
return redis.setresp(3)
return redis.setresp(4)
return redis.setresp()
redis.setresp(3) return true
redis.setresp(3) return redis.call('hgetall','nosuch')
redis.setresp(3) return redis.call('get','nosuch')
return redis.call('get','nosuch')
return redis.call('set','x','1')
return redis.call('incr','x')
return redis.call('set','x',1.5)
return redis.call('set','x',10)
return redis.call('get','x')
return redis.call('rpush','l','a','b')
return redis.call('lrange','l',0,-1)
return redis.call('type','l')
return redis.call('select',1)
return redis.call('ping')
return redis.call('exists','x','l')
return redis.call('auth','x')
return redis.call('watch','x')
return redis.call('eval','return 1',0)
return redis.pcall('nosuch')
local r=redis.pcall('nosuch') return r.err
local r=redis.pcall('get') return type(r)
return redis.acl_check_cmd('get','x')
return redis.acl_check_cmd('nosuch')
return redis.acl_check_cmd()
return redis.REPL_ALL
return redis.LOG_WARNING
return {type(redis.REDIS_VERSION), type(redis.REDIS_VERSION_NUM)}
return KEYS[1]..ARGV[1]
return #KEYS + #ARGV
KEYS[1]='z' return KEYS[1]
KEYS={} return 1
x=1
return x
local x=1 return x
error('boo')
error('boo',0)
error({err='E x'})
error(5)
assert(false)
assert(false,'msg')
assert(nil,{err='E y'})
local t=nil; return t.x
return 1+{}
return 1 .. {}
return #5
return nil < 1
local function f() return f() + 1 end return f()
return pcall(error,'x')
return {pcall(error,{err='t'})}
return {pcall(function() error('inner') end)}
return {xpcall(function() error('inner') end, function(e) return 'H:'..tostring(e) end)}
return select('#',1,2,3)
return {select(2,'a','b','c')}
return {unpack({1,2,3})}
return type(nil)..type(1)..type('')..type({})..type(print)
return tonumber('0x10')
return tonumber('z',36)
return tonumber('abc')
return tostring(tonumber('1e2'))
return rawequal('a','a')
return rawget({a=1},'a')
local t=setmetatable({},{__index=function(t,k) return k..'!' end}) return t.foo
local t=setmetatable({},{__tostring=function() return 'T' end}) return tostring(t)
return tostring(setmetatable({},{__metatable='locked'}))=='x'
return getmetatable(setmetatable({},{__metatable='locked'}))
local co=coroutine.create(function(a) local b=coroutine.yield(a+1) return b*2 end) local _,x=coroutine.resume(co,1) local _,y=coroutine.resume(co,10) return {x,y}
return coroutine.wrap(function() return 7 end)()
return coroutine.status(coroutine.create(function() end))
return loadstring('return 1+1')()
return loadstring('return )')
return {loadstring('return )')}
return load(function() return nil end)
return next({})
return next({5})
return {next({a=1})}
local n=0 for k,v in pairs({a=1,b=2,c=3}) do n=n+v end return n
local r={} for i,v in ipairs({1,2,nil,4}) do r[#r+1]=v end return r
for i=1,3 do KEYS[i]=i end return KEYS
return pairs
return ipairs()
return setfenv
return getfenv
return require
return dofile
return io
return debug
return package
return newproxy
return print
return _VERSION
goto x
return "unclosed
local a <const> = 1
return 10 % 3
return -7 % 3
return 7 / 2
return 2^10
return 'a' < 'b'
return 'x' == 'x' and 1 or 0
return {[1]='a',[2]='b',n=2}
return {double=3.25}
return {map={a=1}}
return {set={a=true}}
return {big_number='123456789012345678901234567890'}
return {verbatim_string={format='txt',string='hi'}}
redis.setresp(3) return {double=3.25}
redis.setresp(3) return {map={a=1}}
redis.setresp(3) return {set={a=true}}
redis.setresp(3) return {big_number='123'}
redis.setresp(3) return {verbatim_string={format='txt',string='hi'}}
#!lua\nreturn 1
#!lua flags=no-writes\nreturn redis.call('set','x',1)
#!lua flags=no-writes\nreturn redis.call('get','x')
#!lua flags=bad\nreturn 1
#!lua name=x\nreturn 1
#!python\nreturn 1
#!lua
return string.gmatch('a','a')
return string.len()
return string.sub()
return bit.tohex(0xdeadbeef)
return bit.bxor(1,2,4)
return bit.ror(1,1)
return bit.rshift(-1,4)
return tostring(bit.tobit(1.5))
return tostring(bit.tobit(2.5))
return tostring(bit.tobit(-1.5))
'''.strip().split("\n")


def command(r):
    roll = r.random()
    if roll < 0.7:
        code = r.choice(CASES)
        code = code.replace("\\n", "\n") if code.startswith("#!") else code
        return [r.choice(["EVAL", "eval"]), code, 1, b"k", b"v"]
    if roll < 0.8:
        return ["EVALSHA", r.choice(["e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "f" * 40, "x"]), r.integer(0, 2), b"k"]
    if roll < 0.85:
        return ["SCRIPT", r.choice(["EXISTS", "LOAD", "FLUSH", "exists"]), r.choice(["return 1", "return 2", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "("])]
    name = r.choice(["one", "two"])
    if roll < 0.92:
        body = r.choice([
            "redis.register_function('f_%s', function(k, a) return redis.call('incrby', k[1], a[1]) end)",
            "redis.register_function{function_name='f_%s', callback=function(k, a) return {k, a} end, flags={'no-writes'}, description='d'}",
            "redis.register_function('f_%s', 1)", "redis.register_function('same', function() return 1 end) --%s",
            "redis.call('get', 'x') --%s", "local x = --%s", "x = 1 --%s", "redis.register_function('bad name', function() end) --%s",
        ]) % name
        head = r.choice(["#!lua name=%s\n" % name] * 6 + ["#!lua\n", "", "#!lua name=a-b\n", "#!x name=%s\n" % name])
        return ["FUNCTION", "LOAD", *r.maybe("REPLACE", chance=0.6), head + body]
    if roll < 0.96:
        return [r.choice(["FCALL", "FCALL_RO"]), r.choice(["f_one", "f_two", "same", "nosuch"]), 1, b"n:%d" % r.randrange(3), r.integer()]
    return ["FUNCTION", *r.choice([["LIST"], ["LIST", "WITHCODE"], ["LIST", "LIBRARYNAME", "o*"], ["STATS"], ["DELETE", name], ["FLUSH"], ["NOSUCH"], ["LIST", "x"]])]


EXPECTED = [
    (lambda w, theirs, ours: w[0].lower() == b"function" and w[1].lower() == b"list" and theirs.kind == ours.kind,
     "libraries come in the order of their names here, and in that of a hash table there"),
    (lambda w, theirs, ours: w[0].lower() == b"function" and w[1].lower() == b"stats" and ours.kind == theirs.kind, "there is no difference but in RESP2's nulls"),
    (lambda w, theirs, ours: b"tostring(t[4])" in b"".join(w), "addresses never show"),
    (lambda w, theirs, ours: b"cjson.encode()" in b"".join(w) or b"cmsgpack.pack()" in b"".join(w),
     "no argument is taken for nil"),
]
