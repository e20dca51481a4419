"""What answers on the provisioning listener: these routes and nothing else."""

from django.urls import path, re_path

from installs import callbacks

urlpatterns = [
    path("hello/<str:nonce>", callbacks.say_hello),
    path("boot.ipxe", callbacks.ipxe),
    path("pxelinux.cfg/<str:name>", callbacks.pxelinux),
    path("grub.cfg", callbacks.grub_who),
    path("grub/<str:mac>", callbacks.grub),
    path("script/<str:token>", callbacks.script),
    re_path(r"^file/(?P<token>[^/]+)/(?P<name>[A-Za-z0-9._-]{1,63})$", callbacks.file),
    path("answers", callbacks.ask_answers),
    path("grant", callbacks.ask_grant),
    path("settings", callbacks.ask_settings),
    path("export", callbacks.ask_export),
    re_path(r"^event/(?P<name>[a-z_]{1,31})$", callbacks.event),
    path("first-boot/<str:token>", callbacks.first_boot),
]
handler400 = handler403 = handler404 = callbacks.not_found
