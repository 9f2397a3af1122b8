"""The page and the endpoints: the only part of the product that knows Gradio."""
