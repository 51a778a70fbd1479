"""grpcio's health checker and reflection database against a node: its URL is in SHROUD_URL."""
import os

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

with grpc.insecure_channel(os.environ["SHROUD_URL"].removeprefix("http://")) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "grpc.health.v1.Health" in services, services
print(f"grpcio {grpc.__version__}: health and reflection of the node ok")
