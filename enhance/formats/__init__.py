"""The output formats: PNG, JPEG, WebP, AVIF, TIFF and JPEG XL, and thumbnails."""
