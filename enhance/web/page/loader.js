// Starts the modules of the page, whose sources are in `enhanceModules`. As files of their own, they
// would need a request each.
{
  const addresses = {};
  const addressOf = (name) => {
    addresses[name] ??= createModule(name);
    return addresses[name];
  };
  const createModule = (name) => {
    const linked = window.enhanceModules[name].replace(
      / from "\.\/(\w+)\.js"/g,
      (_, other) => ` from "${addressOf(other)}"`,
    );
    const named = `${linked}\n//# sourceURL=enhance/${name}.js`;
    return URL.createObjectURL(new Blob([named], { type: "text/javascript" }));
  };
  // Gradio can mount a part before the modules have started.
  const mounted = [];
  window.enhance = { mounted, mount: (...part) => mounted.push(part) };
  import(addressOf("main"));
}
