"""Pages and buttons of machines that need to know nothing of installs."""
