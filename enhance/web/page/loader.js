// Starts the modules of the page, whose sources are in `enhanceModules`, each after those that it
// imports. As files of their own, they would need a request each.
{
  const addresses = {};
  for (const [name, source] of Object.entries(window.enhanceModules)) {
    const linked = source.replace(
      / from "\.\/(\w+)\.js"/g,
      (_, other) => ` from "${addresses[other]}"`,
    );
    const named = `${linked}\n//# sourceURL=enhance/${name}.js`;
    addresses[name] = URL.createObjectURL(new Blob([named], { type: "text/javascript" }));
  }
  // Gradio can mount a part before the modules have started.
  const mounted = [];
  window.enhance = { mounted, mount: (...part) => mounted.push(part) };
  import(addresses.main);
}
