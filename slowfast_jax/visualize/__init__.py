"""What a network looks at, computes and gets wrong, as pictures, films and pages."""
