"""A shop with Django: sessions in the cache, the cache in Quorate. Arguments: the port to serve HTTP at, that of the node."""

import json
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="of a test", ROOT_URLCONF=__name__, USE_TZ=True,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={"default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": f"redis://127.0.0.1:{sys.argv[2]}",
        "OPTIONS": {"socket_timeout": 10},
    }},
)
django.setup()

from django.core.cache import cache  # noqa: E402


def login(request):
    request.session["user"], request.session["cart"] = request.GET["user"], []
    request.session.cycle_key()
    return JsonResponse({"user": request.session["user"]})


def add(request):
    request.session["cart"] = [*request.session["cart"], int(request.GET["item"])]
    return JsonResponse({"cart": request.session["cart"]})


def cart(request):
    return JsonResponse({"user": request.session.get("user"), "cart": request.session.get("cart")})


def hit(request):
    cache.get_or_set("hits", 0, timeout=None)
    cache.set(f"page:{request.GET['item']}", json.dumps({"item": request.GET["item"]}), timeout=600)
    assert cache.get_many(["hits", f"page:{request.GET['item']}"]).keys() == {"hits", f"page:{request.GET['item']}"}
    return JsonResponse({"hits": cache.incr("hits")})


def logout(request):
    request.session.flush()
    return JsonResponse({})


urlpatterns = [path(view.__name__, view) for view in (login, add, cart, hit, logout)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), Server, Quiet).serve_forever()
