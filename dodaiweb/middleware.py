"""What every page answer carries."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from machines.acting import Actor, acting

POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"  # noqa: E501


class ContentSecurityPolicy:
    """Scripts and connections only from here, none inline: text from machines can never run in a browser."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class Editing:
    """Edits of the inventory made by a request are those of its user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        def who() -> Actor | None:
            return Actor(request.user.get_username(), request.user) if request.user.is_authenticated else None

        with acting(who):
            return self.get_response(request)
