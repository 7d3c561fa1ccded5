"""What comes out: pictures with labels, boxes and a time bar, in a film with sound."""
