"""grpcio, its health checker and its reflection database against a server of ours: HOST:PORT, then `compress` if the server
does. The messages' types come from the server itself, by reflection."""
import sys
import threading

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

target, compress = sys.argv[1], "compress" in sys.argv[2:]
LIMIT = 4 << 20
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
channel = grpc.insecure_channel(target, options=options)
checks = 0


def check(condition, what):
    global checks
    checks += 1
    assert condition, what


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        check(error.code() == code, f"{error.code()} instead of {code}: {error.details()}")
        return error
    raise AssertionError(f"no error instead of {code}")


# Reflection: everything below is built on what it says.
database = ProtoReflectionDescriptorDatabase(channel)
services = set(database.get_services())
check({"test.Notes", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
       "grpc.reflection.v1.ServerReflection"} <= services, services)
pool = descriptor_pool.DescriptorPool(database)
service = pool.FindServiceByName("test.Notes")
Note = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Note"))
check(pool.FindFileByName("notes.proto").package == "test", "the file")
for unknown in [lambda: pool.FindMessageTypeByName("test.None"), lambda: pool.FindFileByName("none.proto")]:
    try:
        unknown()
        raise AssertionError("found what is not there")
    except KeyError:
        checks += 1


def method(name, channel=channel):
    described = service.methods_by_name[name]
    kind = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
            (True, False): channel.stream_unary, (True, True): channel.stream_stream}
    make = kind[described.client_streaming, described.server_streaming]
    return make(f"/test.Notes/{name}", Note.SerializeToString, Note.FromString)


echo, fail, count, total, chat = (method(name) for name in ["Echo", "Fail", "Count", "Sum", "Chat"])

# The four kinds.
note = Note(text="grüße", number=7, data=b"\x00\xff" * 100)
check(echo(note) == note, "echo")
check([n.number for n in count(Note(number=5000))] == list(range(5000)), "count")
check(total(Note(number=n) for n in range(5000)).number == 5000 * 4999 // 2, "sum")
asked, answered = threading.Semaphore(1), []


def questions():
    for n in range(100):
        asked.acquire()
        yield Note(number=n)


for answer in chat(questions()):
    answered.append(answer.number)
    asked.release()
check(answered == [2 * n for n in range(100)], "chat")
check(list(count(Note(number=0))) == [] and total(iter([])).number == 0, "empty streams")
check(sum(len(n.data) for n in count(Note(number=200, data=b"x" * 100_000))) == 20_000_000, "a long stream")
check(len(list(chat(Note(number=n, data=b"x" * 50_000) for n in range(200)))) == 200, "a long chat")

# Many at once.
futures = [echo.future(Note(number=n)) for n in range(200)]
check([f.result().number for f in futures] == list(range(200)), "200 at once")

# Metadata, both ways.
sent = (("x-text", "one"), ("x-text", "two"), ("x-bytes-bin", b"\x00\x01\xfe\xff"))
answer, call = echo.with_call(note, metadata=sent)
received = [(key, value) for key, value in call.initial_metadata() if key.startswith("x-")]
check(sorted(received) == sorted(sent), received)
check(("x-after-bin", b"\x00\xff") in call.trailing_metadata(), call.trailing_metadata())
check(call.code() == grpc.StatusCode.OK, call.code())

# The codes, their messages and details.
for code in grpc.StatusCode:
    if code == grpc.StatusCode.OK:
        continue
    text = f"100% {code.name} grüße\n"
    details = b"\x08\x05" + code.name.encode()
    error = fails(code, lambda: fail(Note(number=code.value[0], text=text, data=details)))
    check(error.details() == text, error.details())
    check(("grpc-status-details-bin", details) in error.trailing_metadata(), error.trailing_metadata())

# What is not there.
nowhere = channel.unary_unary("/test.Notes/Nothing", Note.SerializeToString, Note.FromString)
fails(grpc.StatusCode.UNIMPLEMENTED, lambda: nowhere(note))
nobody = channel.unary_unary("/test.Nobody/Echo", Note.SerializeToString, Note.FromString)
fails(grpc.StatusCode.UNIMPLEMENTED, lambda: nobody(note))
broken = channel.unary_unary("/test.Notes/Echo", lambda _: b"\xff" * 11, Note.FromString)
fails(grpc.StatusCode.INTERNAL, lambda: broken(note))

# Deadlines and cancellation.
never, dropped = method("Never"), method("Dropped")
before = dropped(note).number
fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: never(note, timeout=0.1))
call = never.future(note)
dropped(note)
call.cancel()
check(call.cancelled(), "cancelled")
while dropped(note).number < before + 2:
    pass
stream = count(Note(number=10**9, data=b"x" * 1000))
check(next(stream).number == 0, "the first")
stream.cancel()
check(echo(note, timeout=30) == note, "a bystander")

# Compression: gzip from us is understood, deflate is not offered.
text = Note(text="shroud " * 50_000)
for kind in [grpc.Compression.NoCompression, grpc.Compression.Gzip]:
    check(echo(text, compression=kind) == text, kind)
    check(total((Note(number=n) for n in range(100)), compression=kind).number == 4950, kind)
fails(grpc.StatusCode.UNIMPLEMENTED, lambda: echo(text, compression=grpc.Compression.Deflate))
answer, call = echo.with_call(text)
check(answer == text, "compressed by the server" if compress else "plain")

# The limit and one past it.
sized = lambda size: Note(data=b"\x00" * (size - 5))
check(sized(LIMIT).ByteSize() == LIMIT, sized(LIMIT).ByteSize())
check(echo(sized(LIMIT)) == sized(LIMIT), "at the limit")
fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: echo(sized(LIMIT + 1)))
fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: echo(sized(LIMIT + 1), compression=grpc.Compression.Gzip))
fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: total(iter([note, sized(LIMIT + 1)])))
check(echo(note) == note, "a bystander")

# Health.
health = health_pb2_grpc.HealthStub(channel)
ask = lambda name: health_pb2.HealthCheckRequest(service=name)
Status = health_pb2.HealthCheckResponse
check(health.Check(ask("")).status == Status.SERVING, "the server")
check(health.Check(ask("test.Notes")).status == Status.SERVING, "the service")
check(health.Check(ask("test.Tired")).status == Status.NOT_SERVING, "another")
fails(grpc.StatusCode.NOT_FOUND, lambda: health.Check(ask("test.Nobody")))
watch = health.Watch(ask("test.Nobody"))
check(next(watch).status == Status.SERVICE_UNKNOWN, "watched")
watch.cancel()

# A client that keeps pinging and one that goes away are served and forgotten.
for _ in range(20):
    short = grpc.insecure_channel(target)
    method("Echo", short)(note)
    short.close()
check(echo(note) == note, "the end")
print(f"grpcio {grpc.__version__}, health, reflection: ok ({checks} checks)")
