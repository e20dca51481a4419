"""Pages and buttons of installs, images and notices."""
