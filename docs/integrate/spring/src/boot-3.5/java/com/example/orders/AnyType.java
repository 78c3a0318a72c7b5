package com.example.orders;

import org.springframework.boot.autoconfigure.security.oauth2.resource.servlet.JwkSetUriJwtDecoderBuilderCustomizer;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** For Spring Boot 3.5 only, whose decoder takes no type but JWT before any validator is asked. */
@Configuration(proxyBeanMethods = false)
class AnyType {
    @Bean
    JwkSetUriJwtDecoderBuilderCustomizer typeIsLeftToTheValidators() {
        return builder -> builder.validateType(false);
    }
}
