"""What stands in a site's declared ranges: asked gently, told as sightings and links."""
