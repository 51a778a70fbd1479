"""grpcio's health checker and reflection database against a node: HOST:PORT, and the node's process, which is asked to stop in
the end: who watches is told so."""
import os
import signal
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

channel = grpc.insecure_channel(sys.argv[1])
health = health_pb2_grpc.HealthStub(channel)
Status = health_pb2.HealthCheckResponse
ask = health_pb2.HealthCheckRequest(service="")
assert health.Check(ask).status == Status.SERVING, "it serves"
services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
expected = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"}
assert services == expected, services
try:
    health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    raise AssertionError("nobody serves")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
watch = health.Watch(ask)
assert next(watch).status == Status.SERVING, "watched"
os.kill(int(sys.argv[2]), signal.SIGTERM)
try:
    assert [answer.status for answer in watch] == [Status.NOT_SERVING], "it stops"
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
print(f"grpcio {grpc.__version__}, health and reflection of the node: ok")
