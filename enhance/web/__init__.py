"""The page and the endpoints: the only part of the product that knows Gradio.

`build` puts all together and `serving` launches it. `layout` says which cards there are; `upload`, `controls`, `run`,
`result` and `batch` have the handlers of one card each, `api` the endpoints. They share `state`, what the server holds
for each open page, `preview`, the previews of all visitors, `views`, what several of them show, and `metrics`, what is
told of all this to who runs the server.
"""
