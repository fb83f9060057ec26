import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/** One Elasticsearch 9 node from Maven Central's jars, on 127.0.0.1: EsNode.java HOME HTTP_PORT. */
public class EsNode {
  public static void main(String[] args) throws Exception {
    Path home = Path.of(args[0]).toAbsolutePath();
    Settings settings = Settings.builder()
        .put("path.home", home.toString())
        .put("cluster.name", "tests").put("node.name", "node-1")
        .put("discovery.type", "single-node")
        .put("network.host", "127.0.0.1").put("http.port", args[1]).put("transport.port", "0")
        .put("cluster.routing.allocation.disk.threshold_enabled", false) // a full disk of the tester makes indices read-only
        .build();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), home.resolve("config"), () -> "node-1");
    LogConfigurator.configureESLogging();
    LogConfigurator.configure(environment, true);
    PluginsLoader modules = PluginsLoader.createPluginsLoader(
        PluginsLoader.loadModulesBundles(environment.modulesDir()), Set.of(), Map.of(), false);
    Node node = new Node(environment, modules);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        node.close();
      } catch (Exception error) {
        error.printStackTrace();
      }
    }));
    node.start();
    Thread.currentThread().join();
  }
}
