// Verifies access tokens as a long-running Java service would: with Nimbus JOSE + JWT or with Spring
// Security's decoder, their key sets at their defaults, knowing only the issuer address.
//
// java -cp 'LIBRARIES/*' VerifyLibraries.java nimbus|spring ISSUER AUDIENCE says "ready", then reads a
// token a line, and at the end of its input prints what became of them as one line of JSON.
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jose.util.Resource;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.http.client.SimpleClientHttpRequestFactory;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.web.client.RestTemplate;

public final class VerifyLibraries {
    /** Checks signature, algorithm, type, issuer, audience and expiry of a token. */
    interface Verifier {
        void verify(String token) throws Exception;
    }

    /** A busy machine may answer late; the libraries would wait for half a second. */
    private static final int TIMEOUT_MS = 10_000;

    private static final AtomicInteger FETCHES = new AtomicInteger();

    public static void main(String[] arguments) throws Exception {
        String issuer = arguments[1];
        boolean isSpring = arguments[0].equals("spring");
        URL metadata = URI.create(issuer + "/.well-known/openid-configuration").toURL();
        Resource found = new DefaultResourceRetriever(TIMEOUT_MS, TIMEOUT_MS).retrieveResource(metadata);
        String keys = JSONObjectUtils.getString(JSONObjectUtils.parse(found.getContent()), "jwks_uri");
        Verifier verifier =
            isSpring ? spring(issuer, arguments[2], keys) : nimbus(issuer, arguments[2], keys);
        System.out.println("ready");

        int verified = 0;
        int failed = 0;
        List<String> failures = new ArrayList<>();
        TreeSet<String> kids = new TreeSet<>();
        BufferedReader lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String token = lines.readLine(); token != null; token = lines.readLine()) {
            try {
                verifier.verify(token);
                kids.add(SignedJWT.parse(token).getHeader().getKeyID());
                verified += 1;
            } catch (Exception error) {
                failed += 1;
                if (failures.size() < 5) {
                    failures.add(error.getClass().getSimpleName() + ": " + error.getMessage());
                }
            }
        }
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("client", "%s on JDK %s".formatted(
            isSpring ? "Spring Security " + version(NimbusJwtDecoder.class)
                : "Nimbus JOSE + JWT " + version(SignedJWT.class),
            System.getProperty("java.version")));
        report.put("verified", verified);
        report.put("failed", failed);
        report.put("first_failures", failures);
        report.put("kids", new ArrayList<>(kids));
        report.put("jwks_fetches", FETCHES.get());
        System.out.println(JSONObjectUtils.toJSONString(report));
    }

    /** The version in the name of the library that has this class. */
    private static String version(Class<?> of) {
        String file = of.getProtectionDomain().getCodeSource().getLocation().getPath();
        return file.replaceAll(".*-([0-9][0-9.]*)[.]jar", "$1");
    }

    private static Verifier nimbus(String issuer, String audience, String keys) throws IOException {
        DefaultResourceRetriever counting = new DefaultResourceRetriever(TIMEOUT_MS, TIMEOUT_MS) {
            @Override
            public Resource retrieveResource(URL url) throws IOException {
                FETCHES.incrementAndGet();
                return super.retrieveResource(url);
            }
        };
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSTypeVerifier(
            new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256,
            JWKSourceBuilder.create(URI.create(keys).toURL(), counting).build()));
        DefaultJWTClaimsVerifier<SecurityContext> claims = new DefaultJWTClaimsVerifier<>(
            audience, new JWTClaimsSet.Builder().issuer(issuer).build(), Set.of("exp", "sub"));
        claims.setMaxClockSkew(0);
        processor.setJWTClaimsSetVerifier(claims);
        return token -> processor.process(token, null);
    }

    private static Verifier spring(String issuer, String audience, String keys) {
        SimpleClientHttpRequestFactory requests = new SimpleClientHttpRequestFactory();
        requests.setConnectTimeout(TIMEOUT_MS);
        requests.setReadTimeout(TIMEOUT_MS);
        RestTemplate counting = new RestTemplate(requests);
        counting.getInterceptors().add((request, body, execution) -> {
            FETCHES.incrementAndGet();
            return execution.execute(request, body);
        });
        NimbusJwtDecoder decoder =
            NimbusJwtDecoder.withJwkSetUri(keys).restOperations(counting).build();
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
            new JwtTypeValidator("at+jwt", "application/at+jwt"), new JwtIssuerValidator(issuer),
            new JwtAudienceValidator(audience), new JwtTimestampValidator(Duration.ZERO)));
        return decoder::decode;
    }
}
