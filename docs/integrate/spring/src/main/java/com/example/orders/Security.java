package com.example.orders;

import com.nimbusds.jwt.SignedJWT;
import jakarta.servlet.Filter;
import jakarta.servlet.http.HttpServletResponse;
import java.text.ParseException;
import java.util.stream.Stream;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.config.ObjectPostProcessor;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.OAuth2Error;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidatorResult;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoderInitializationException;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.server.resource.InvalidBearerTokenException;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationConverter;
import org.springframework.security.oauth2.server.resource.authentication.JwtGrantedAuthoritiesConverter;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.DefaultBearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.AuthenticationEntryPointFailureHandler;

/** Which tokens are taken (RFC 9068), what they open, and how it is refused (RFC 6750 section 3). */
@Configuration(proxyBeanMethods = false)
class Security {
    private static final int LONGEST_TOKEN = 16 * 1024;

    @Bean
    SecurityFilterChain chain(HttpSecurity http, Revocations revocations) throws Exception {
        http.sessionManagement(sessions ->
                sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
            // No credential that a browser sends automatically is accepted.
            .csrf(csrf -> csrf.disable())
            .authorizeHttpRequests(requests -> requests
                .requestMatchers(HttpMethod.GET, "/orders").hasAuthority("SCOPE_orders:read")
                .requestMatchers(HttpMethod.DELETE, "/orders/*").hasRole("manager")
                .anyRequest().denyAll())
            .addFilterBefore(issuerMayBeAway(), BearerTokenAuthenticationFilter.class)
            .addFilterAfter(revocations.notStale(), BearerTokenAuthenticationFilter.class)
            .exceptionHandling(refused -> refused
                .authenticationEntryPoint((request, response, error) -> unauthorized(response, error)))
            .oauth2ResourceServer(server -> server
                .jwt(jwt -> jwt.jwtAuthenticationConverter(authorities()))
                .authenticationEntryPoint((request, response, error) -> unauthorized(response, error))
                .accessDeniedHandler((request, response, error) ->
                    forbidden(response, request.getMethod()))
                .withObjectPostProcessor(keysMayBeAway()));
        return http.build();
    }

    /** Words of the scope as {@code SCOPE_…}, roles as {@code ROLE_…}. */
    private static JwtAuthenticationConverter authorities() {
        JwtGrantedAuthoritiesConverter scopes = new JwtGrantedAuthoritiesConverter();
        JwtGrantedAuthoritiesConverter roles = new JwtGrantedAuthoritiesConverter();
        roles.setAuthoritiesClaimName("roles");
        roles.setAuthorityPrefix("ROLE_");
        JwtAuthenticationConverter converter = new JwtAuthenticationConverter();
        converter.setJwtGrantedAuthoritiesConverter(token ->
            Stream.of(scopes, roles).flatMap(one -> one.convert(token).stream()).toList());
        return converter;
    }

    /** What is longer is not Signet's, and not worth reading. */
    @Bean
    BearerTokenResolver noLongerThanSignetsTokens() {
        DefaultBearerTokenResolver resolver = new DefaultBearerTokenResolver();
        return request -> {
            String token = resolver.resolve(request);
            if (token != null && token.length() > LONGEST_TOKEN) {
                throw new InvalidBearerTokenException("the token is too long");
            }
            return token;
        };
    }

    /** Signet signs other things than access tokens, with the same keys; the type differs. */
    @Bean
    JwtTypeValidator accessTokensOnly() {
        return new JwtTypeValidator("at+jwt", "application/at+jwt");
    }

    /** Requires the other claims of RFC 9068; Spring does not, and makes up an {@code iat}. */
    @Bean
    OAuth2TokenValidator<Jwt> everythingIsThere() {
        return token -> {
            try {
                SignedJWT parsed = SignedJWT.parse(token.getTokenValue());
                String kid = parsed.getHeader().getKeyID();
                var claims = parsed.getJWTClaimsSet().getClaims();
                boolean all = kid != null && !kid.isEmpty()
                    && Stream.of("sub", "exp", "iat", "jti", "client_id").allMatch(claims::containsKey);
                return all ? OAuth2TokenValidatorResult.success() : invalid("a claim is missing");
            } catch (ParseException unreadable) {
                return invalid("the token cannot be read");
            }
        };
    }

    static OAuth2TokenValidatorResult invalid(String why) {
        return OAuth2TokenValidatorResult.failure(new OAuth2Error("invalid_token", why, null));
    }

    /** The decoder looks for Signet at the first token, and Spring answers 401 where it is away. */
    private static Filter issuerMayBeAway() {
        return (request, response, chain) -> {
            try {
                chain.doFilter(request, response);
            } catch (JwtDecoderInitializationException away) {
                unavailable((HttpServletResponse) response);
            }
        };
    }

    /** Where no keys can be had nothing is wrong with the token: by default that is a failure. */
    private static ObjectPostProcessor<BearerTokenAuthenticationFilter> keysMayBeAway() {
        return new ObjectPostProcessor<>() {
            @Override
            public <F extends BearerTokenAuthenticationFilter> F postProcess(F filter) {
                var handler = new AuthenticationEntryPointFailureHandler(
                    (request, response, error) -> unauthorized(response, error));
                handler.setRethrowAuthenticationServiceException(false);
                filter.setAuthenticationFailureHandler(handler);
                return filter;
            }
        };
    }

    private static void unauthorized(HttpServletResponse response, AuthenticationException error) {
        if (error instanceof AuthenticationServiceException) {
            unavailable(response);
            return;
        }
        // Without credentials there is no error to speak of, so there is none in the challenge.
        boolean hasToken = error instanceof OAuth2AuthenticationException;
        challenge(response, 401, hasToken ? ", error=\"invalid_token\"" : "");
    }

    private static void forbidden(HttpServletResponse response, String method) {
        if (method.equals("GET")) {
            challenge(response, 403, ", error=\"insufficient_scope\", scope=\"orders:read\"");
        } else {
            // It lacks the role. No other token would help, so there is no challenge.
            response.setStatus(403);
        }
    }

    /** At 401 a client would throw its token away. */
    static void unavailable(HttpServletResponse response) {
        response.setHeader("Retry-After", "1");
        response.setStatus(503);
    }

    private static void challenge(HttpServletResponse response, int status, String parameters) {
        response.setHeader("WWW-Authenticate", "Bearer realm=\"orders\"" + parameters);
        response.setStatus(status);
    }
}
