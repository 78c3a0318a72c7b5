"""Orders, a Django REST framework service beside Signet: settings, views and addresses in one file.

    export ISSUER=https://id.example.com AUDIENCE=https://orders.example.com
    python orders.py runserver      # or: gunicorn orders:application
"""

import os
import sys

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["signet_auth.SignetAuthentication"],
        # A view that does not say who may call it is at least not open to all.
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ISSUER=os.environ["ISSUER"],
    AUDIENCE=os.environ["AUDIENCE"],
    MAX_STALENESS=float(os.environ.get("MAX_STALENESS", "10")),
)

from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.urls import path

application = get_wsgi_application()

from rest_framework.response import Response
from rest_framework.views import APIView

from signet_auth import has_role, has_scope

ORDERS = {1: "two otters", 2: "a tractor"}


class Orders(APIView):
    permission_classes = [has_scope("orders:read")]

    def get(self, request):
        return Response({"for": request.user.pk, "orders": list(ORDERS.values())})


class Order(APIView):
    permission_classes = [has_role("manager")]

    def delete(self, request, number):
        ORDERS.pop(number, None)
        return Response(status=204)


urlpatterns = [path("orders", Orders.as_view()), path("orders/<int:number>", Order.as_view())]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
